/** The full command of an exec request: the image's defaults filled in as container runtimes do. */
import { posix } from "node:path";
import type { ExecRequest } from "#api/exec.ts";
import type { ImageConfig } from "#api/image.ts";
import type { BootMode } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import type { ExecRequest as GuestExecRequest } from "#guest/exec.ts";

/** The command of `vm run`: entrypoint and arguments, either replaceable. `invalid_argument` when there is none. */
export function commandOf(
  config: ImageConfig,
  argv: readonly string[],
  entrypoint: readonly string[] | undefined,
): string[] {
  const first = entrypoint ?? config.entrypoint ?? [];
  // A replaced entrypoint makes the image's own arguments meaningless.
  const rest = argv.length > 0 || entrypoint ? argv : (config.cmd ?? []);
  const command = [...first, ...rest];
  if (command.length > 0) return command;
  throw new BangerError(
    "invalid_argument",
    "Cannot run the image: it has no default command and none was given",
    {
      hint: "Pass a command: banger vm run IMAGE -- COMMAND",
    },
  );
}

/** A shell that nobody talks to ends at once. */
const BARE_SHELL = /^(\/\S*\/)?(ba|da|a|k|mk|z|c|tc|fi)?sh( -(i|l|il|li)| --login)*$/;

/** What a machine in direct mode runs for as long as it lives; undefined: nothing. */
export function machineCommand(
  config: ImageConfig,
  request: {
    mode: BootMode;
    command?: readonly string[] | undefined;
    entrypoint?: readonly string[] | undefined;
    ephemeral?: boolean | undefined;
    isBuild?: boolean | undefined;
  },
): string[] | undefined {
  const { mode, command, entrypoint, ephemeral, isBuild } = request;
  const isAsked = command !== undefined && command.length > 0;
  if (mode !== "direct" && (isAsked || entrypoint)) {
    throw new BangerError(
      "invalid_argument",
      "Cannot run a command: the image boots an init system",
      {
        hint: "Use --mode direct, or run it in the machine: banger vm exec NAME -- COMMAND",
      },
    );
  }
  if (mode !== "direct" || ephemeral || isBuild || (command && !isAsked)) return undefined;
  const own = [...(config.entrypoint ?? []), ...(config.cmd ?? [])];
  if (!isAsked && !entrypoint && (own.length === 0 || BARE_SHELL.test(own.join(" ")))) {
    return undefined;
  }
  return commandOf(config, command ?? [], entrypoint);
}

/**
 * In direct mode the image's user and folder are the default; a machine with an init starts at root's.
 * The image's folder is made where no layer has it, and any folder for the machine's own command.
 */
export function toGuestRequest(
  request: ExecRequest,
  config: ImageConfig,
  { mode, makesCwd = false }: { mode: BootMode; makesCwd?: boolean | undefined },
): GuestExecRequest {
  const start = posix.resolve("/", (mode === "direct" && config.workdir) || "/");
  const cwd = request.cwd === "~" ? "~" : posix.resolve(start, request.cwd ?? "");
  const user = request.user ?? (mode === "direct" ? config.user : undefined);
  return {
    argv: request.argv,
    stdin: request.stdin ?? false,
    env: request.env,
    cwd,
    ...(makesCwd || cwd === start ? { makesCwd: true } : {}),
    ...(user ? { user } : {}),
    ...(request.terminal ? { tty: request.terminal } : {}),
  };
}

/** "NAME=value" lines of an image as a record; lines without a name are left out. */
export function imageEnvironment(config: ImageConfig): Record<string, string> {
  const pairs = (config.env ?? []).map((line): [string, string] => {
    const at = line.indexOf("=");
    return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1)];
  });
  return Object.fromEntries(pairs.filter(([name]) => name !== ""));
}
