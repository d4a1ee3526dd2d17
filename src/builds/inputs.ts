/** Converts a build request to the inputs of its steps. */
import type { ImageBuild } from "#api/image.ts";
import { BangerError } from "#base/error.ts";
import { parseIgnore } from "#builds/copy/patterns.ts";
import { folderSource, type Source } from "#builds/copy/source.ts";
import { type Dockerfile, parseDockerfile } from "#builds/dockerfile/dockerfile.ts";
import type { Instruction } from "#builds/dockerfile/instruction.ts";
import { baseScript } from "#images/recipes.ts";
import { formatPlatform, hostPlatform } from "#oci/platform.ts";
import { type BuildArgs, StageConfig } from "./config.ts";

/** Without a Dockerfile, the only step runs the script, or installs base packages. */
export function fileOf({ dockerfile, fromImage, script = baseScript }: ImageBuild): Dockerfile {
  if (dockerfile !== undefined) return parseDockerfile(dockerfile);
  const instruction: Instruction = {
    line: 1,
    keyword: "SCRIPT",
    flags: new Map(),
    lists: new Map(),
    rest: script.name,
    heredocs: [],
    text: `script ${script.name}`,
    script: script.text,
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

/** The build arguments. */
export function argsOf({ args, target }: ImageBuild, file: Dockerfile): BuildArgs {
  const { os, architecture, variant } = hostPlatform();
  const automatic: Record<string, string> = {};
  for (const side of ["TARGET", "BUILD"]) {
    automatic[`${side}PLATFORM`] = formatPlatform(hostPlatform());
    automatic[`${side}OS`] = os;
    automatic[`${side}OSVERSION`] = "";
    automatic[`${side}ARCH`] = architecture;
    automatic[`${side}VARIANT`] = variant ?? "";
  }
  automatic.TARGETSTAGE = target ?? file.stages.at(-1)?.name ?? "default";
  const given = args ?? {};
  const used = new Set<string>();
  for (const name of Object.keys(automatic)) {
    const value = given[name];
    if (value === undefined) continue;
    automatic[name] = value;
    used.add(name);
  }
  const globals = new Map(Object.entries(automatic));
  const build: BuildArgs = { given, globals, used };
  const config = new StageConfig({}, { escapeChar: file.escapeChar, build, variables: globals });
  for (const instruction of file.globals) config.arg(instruction);
  for (const [name, value] of config.variables) globals.set(name, value);
  return build;
}

export function contextOf({ context, ignore }: ImageBuild): Source {
  if (context === undefined) {
    throw new BangerError("invalid_argument", "no build context to copy from", {
      hint: "Pass the context directory: banger image build -f Dockerfile DIR",
    });
  }
  return folderSource(context, parseIgnore(ignore ?? ""));
}

/** Secrets by id. */
export function secretsOf({ secrets = {} }: ImageBuild): ReadonlyMap<string, Uint8Array> {
  const entries = Object.entries(secrets);
  return new Map(entries.map(([id, text]) => [id, Buffer.from(text, "base64")]));
}
