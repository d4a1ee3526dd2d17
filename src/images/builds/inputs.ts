/** What a build was asked for, as its steps need it. */
import type { ImageBuild } from "#api/image.ts";
import { BangerError } from "#base/error.ts";
import { baseScript } from "#images/recipes.ts";
import { formatPlatform, hostPlatform } from "#oci/platform.ts";
import { type BuildArgs, StageConfig } from "./config.ts";
import { type Dockerfile, type Instruction, parseDockerfile } from "./dockerfile.ts";
import { parseIgnore } from "./patterns.ts";
import { folderSource, type Source } from "./source.ts";

/** Without a Dockerfile, one whose only step is the script, or the installation of base packages. */
export function fileOf({ dockerfile, fromImage, script = baseScript }: ImageBuild): Dockerfile {
  if (dockerfile !== undefined) return parseDockerfile(dockerfile);
  const instruction: Instruction = {
    line: 1,
    keyword: "SCRIPT",
    flags: new Map(),
    rest: script.name,
    heredocs: [],
    body: script.text,
  };
  const base = fromImage ?? "";
  const stage = {
    line: 1,
    name: undefined,
    base: base.replace(/[\\$"']/g, "\\$&"),
    platform: undefined,
  };
  return { escapeChar: "\\", globals: [], stages: [{ ...stage, instructions: [instruction] }] };
}

/** The variables that ARG instructions give values to. */
export function argsOf({ args }: ImageBuild, file: Dockerfile): BuildArgs {
  const { os, architecture, variant } = hostPlatform();
  const automatic: Record<string, string> = {};
  for (const side of ["TARGET", "BUILD"]) {
    automatic[`${side}PLATFORM`] = formatPlatform(hostPlatform());
    automatic[`${side}OS`] = os;
    automatic[`${side}ARCH`] = architecture;
    automatic[`${side}VARIANT`] = variant ?? "";
  }
  const given = args ?? {};
  const globals = new Map<string, string | undefined>();
  const build: BuildArgs = { given, automatic, globals, used: new Set() };
  const config = new StageConfig({}, { escapeChar: file.escapeChar, build });
  for (const instruction of file.globals) config.arg(instruction);
  for (const [name, value] of config.argValues()) globals.set(name, value);
  return build;
}

export function contextOf({ context, ignore }: ImageBuild): Source {
  if (context === undefined) {
    throw new BangerError("invalid_argument", "There is no build context to copy from", {
      hint: "Name its folder: banger image build -f Dockerfile FOLDER",
    });
  }
  return folderSource(context, parseIgnore(ignore ?? ""));
}
