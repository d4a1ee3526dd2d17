import { statSync } from "node:fs";
import { basename, resolve } from "node:path";
import type { ImageBuild } from "#api/image.ts";
import { BangerError } from "#base/error.ts";
import { kernelOf, networkOf } from "#cli/args/create.ts";
import { readDockerfile, readGiven } from "#cli/args/dockerfile.ts";
import { readEnvironment } from "#cli/args/env.ts";
import { slugOf } from "#cli/args/name.ts";
import { absoluteReference } from "#cli/args/reference.ts";
import { readSecrets } from "#cli/args/secret.ts";
import { readSshAgents } from "#cli/args/ssh-agent.ts";
import type { Handler } from "#cli/context.ts";
import { follow } from "#cli/progress/follow.ts";
import type { imageCommands } from "#cli/spec/image.ts";
import type { Input } from "#cli/spec/types.ts";

type BuildInput = Input<typeof imageCommands.commands.build>;

export const run: Handler<typeof imageCommands.commands.build> = async (input, context) => {
  const { flags } = input;
  const { cpus, memory, disk, noCache, pull, target } = flags;
  const source = flags.fromImage === undefined ? fromDockerfile(input) : fromImage(input);
  const args = readEnvironment({ env: flags.buildArg, envFile: [] });
  const secrets = readSecrets(flags.secret);
  const ssh = readSshAgents(flags.ssh);
  const kernel = kernelOf(flags);
  const network = networkOf(flags);
  const client = await context.daemon();
  const image = await follow(context, () =>
    client.image.build(
      {
        ...source,
        target,
        args,
        secrets,
        ssh,
        kernel,
        network,
        cpus,
        memory_mib: memory,
        disk_bytes: disk,
        noCache,
        pull,
      },
      { signal: context.interrupt.signal },
    ),
  );
  await context.output.document(image, () => image.name);
};

function fromDockerfile({ args, flags }: BuildInput): ImageBuild {
  const { file, script, name } = flags;
  if (script !== undefined) {
    throw new BangerError("invalid_argument", "--script requires --from-image", {
      hint: "Run: banger image build --from-image IMAGE --script FILE --name NAME",
    });
  }
  if (args.context === undefined && file === undefined) {
    throw new BangerError("invalid_argument", "missing argument: the build context", {
      hint: "Pass the context directory (banger image build .), or a Dockerfile with --file",
    });
  }
  const folder = args.context === undefined ? undefined : resolve(args.context);
  if (folder !== undefined && !isFolder(folder)) {
    throw new BangerError("not_found", `Cannot build: "${args.context}" is not a directory`, {
      hint: "Clone or unpack the build context first, and pass its directory: banger image build .",
    });
  }
  return {
    name: name ?? nameOf(folder),
    ...readDockerfile({ folder, file }),
    context: folder,
  };
}

function fromImage({ args, flags }: BuildInput): ImageBuild {
  const { fromImage = "", script, name, file, target } = flags;
  if (args.context !== undefined || file !== undefined || target !== undefined) {
    throw new BangerError(
      "invalid_argument",
      "conflicting options: --from-image does not take a Dockerfile or a build context",
    );
  }
  return {
    name: name ?? `${nameOf(fromImage)}-work`,
    fromImage: absoluteReference(fromImage),
    script: script === undefined ? undefined : readScript(script),
  };
}

function readScript(script: string): { name: string; text: string } {
  return { name: basename(script), text: readGiven(script) };
}

function nameOf(folder: string | undefined): string {
  const name = slugOf(basename(folder ?? ""));
  if (name !== "") return name;
  throw new BangerError("invalid_argument", "Cannot build: no image name", {
    hint: "Set one with --name",
  });
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
