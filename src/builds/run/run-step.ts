/** RUN, and the script of a build without a Dockerfile: prepares and runs the command. */
import { BangerError } from "#base/error.ts";
import { readChunks } from "#base/files/chunks.ts";
import { OutputTail } from "#base/shell/output-tail.ts";
import { execForm } from "#builds/dockerfile/exec-form.ts";
import { heredocOf, textOf } from "#builds/dockerfile/heredoc.ts";
import type { Instruction } from "#builds/dockerfile/instruction.ts";
import type { RunMount, RunStatus } from "./machines.ts";
import { fileLayer, type MountDeps, mountsOf, type StepMount } from "./run-mounts.ts";
import type { StageMachine } from "./stage-machine.ts";

/** Where a script is mounted for its interpreter. */
const SCRIPTS_FOLDER = "/dev/pipes";
const SCRIPT_ACCESS = { mode: 0o755, uid: 0, gid: 0 };

export interface RunStep {
  /** The step key. */
  key: unknown;
  createdBy: string;
  /** `guest`, with the tail of the output, if the command fails. */
  run(
    machine: StageMachine,
    options: { onOutput: (lastLine: string, lines: string[]) => void },
  ): Promise<void>;
}

interface Command {
  argv: readonly string[];
  createdBy: string;
  /** A script that is mounted at this path. */
  script?: { path: string; text: string };
  user: string | undefined;
}

export async function runStep(instruction: Instruction, deps: MountDeps): Promise<RunStep> {
  const { config } = deps;
  const command = commandOf(instruction, deps);
  const mounts = await mountsOf(instruction, deps);
  if (command.script) mounts.push(scriptMount(command.script, deps));
  const { argv, user, createdBy } = command;
  const env = config.environment();
  const hasNetwork = instruction.flags.get("network") !== "none";
  const step = { argv, env, cwd: config.config.workdir || "/", user, hasNetwork };
  return {
    key: [step, mounts.map(({ key }) => key)],
    createdBy,
    async run(machine, { onOutput }) {
      const output = new OutputTail();
      const secrets = Object.assign({}, ...mounts.map((mount) => mount.env ?? {}));
      const status = await mounted(machine, mounts, (all) =>
        machine.run(
          { ...step, env: { ...config.proxies(), ...env, ...secrets }, mounts: all },
          {
            signal: deps.signal,
            onOutput: (bytes) => {
              const lines = output.add(bytes);
              onOutput(output.lastLine(), lines);
            },
          },
        ),
      );
      if (!("code" in status) || status.code !== 0) throw failed(status, output);
    },
  };
}

function commandOf(instruction: Instruction, { config }: MountDeps): Command {
  const { rest, heredocs, text } = instruction;
  const user = config.config.user || undefined;
  if (instruction.script !== undefined) {
    const path = `${SCRIPTS_FOLDER}/script`;
    const argv = instruction.script.startsWith("#!") ? [path] : ["/bin/sh", path];
    // The script provisions the image, so it runs as root.
    return { argv, createdBy: text, script: { path, text: instruction.script }, user: "0:0" };
  }
  const flags = text.slice(0, text.length - rest.length).trim();
  const createdBy = (argv: readonly string[]): string => [flags, ...argv].join(" ");
  const [document] = heredocs;
  const script = document && heredocOf(rest) ? textOf(document) : undefined;
  if (document && script?.startsWith("#!")) {
    const name = /^[\w.-]+$/.test(document.name) ? document.name : "script";
    const path = `${SCRIPTS_FOLDER}/${name}`;
    const argv = [...config.shell, path];
    return { argv, createdBy: createdBy([...argv, script]), script: { path, text: script }, user };
  }
  // The shell reads the here-documents of its own command.
  const bodies = heredocs.map(({ content, name }) => `${content}${name}`);
  const line = script ?? [rest, ...bodies].join("\n");
  const argv = execForm(rest) ?? [...config.shell, line];
  return { argv, createdBy: createdBy(argv), user };
}

function scriptMount(
  { path, text }: { path: string; text: string },
  { scratch, signal }: MountDeps,
): StepMount {
  const name = `script-${crypto.randomUUID()}`;
  return {
    key: [path, text],
    async prepare(machine) {
      const content = new TextEncoder().encode(text);
      const layer = await fileLayer(scratch, content, SCRIPT_ACCESS);
      const tar = () => readChunks(layer.path, { signal });
      const source = await machine.fill(name, tar, { inMemory: true, signal });
      return { kind: "bind", source, target: path, isReadOnly: true };
    },
    cleanUp: (machine) => machine.removeMount(name, signal),
  };
}

/** Calls `use` with the mounts in order, and cleans them up afterwards, also on failure. */
async function mounted(
  machine: StageMachine,
  mounts: readonly StepMount[],
  use: (all: RunMount[]) => Promise<RunStatus>,
): Promise<RunStatus> {
  const ready = new Map<StepMount, RunMount>();
  const prepared: StepMount[] = [];
  // All builds take the locks in the same order, so they cannot deadlock.
  const inLockOrder = mounts.toSorted((a, b) => ((a.lock ?? "") < (b.lock ?? "") ? -1 : 1));
  let failure: unknown;
  let status: RunStatus | undefined;
  try {
    for (const mount of inLockOrder) {
      prepared.push(mount);
      const run = await mount.prepare(machine);
      if (run) ready.set(mount, run);
    }
    status = await use(mounts.flatMap((mount) => ready.get(mount) ?? []));
  } catch (error) {
    failure = error;
  }
  for (const mount of prepared) {
    try {
      await mount.cleanUp?.(machine);
    } catch (error) {
      failure ??= error;
    }
  }
  if (status === undefined || failure !== undefined) throw failure;
  return status;
}

function failed(status: RunStatus, output: OutputTail): BangerError {
  const how = "code" in status ? `exit status ${status.code}` : `signal ${status.signal}`;
  const tail = output.end();
  const message = `the command exited with ${how}`;
  return new BangerError("guest", tail ? `${message}:\n${tail}` : `${message} and printed nothing`);
}
