/** Connects an ssh channel to a stream of the guest, with backpressure in both directions. */
import type { Duplex, Writable } from "node:stream";
import type { ServerChannel } from "ssh2";
import type { ExecExit, ExecRequest, TerminalSize } from "#api/exec.ts";
import { type BangerError, errorCodes, toBangerError } from "#base/error.ts";
import { type ExecConnection, openExec } from "#sdk/exec.ts";

/** As sshd has it for a command that cannot be run. */
const STATUS_NOT_FOUND = 127;
/** As ssh has it for what is not the command's own failure. */
const STATUS_FAILED = 255;

export interface Guest {
  /** Path of the daemon's socket. */
  socket: string;
  vm: string;
}

/** `drop` gives whether output is not to be sent any more. */
export function execInGuest(
  { socket, vm }: Guest,
  exec: ExecRequest,
  { channel, drop }: { channel: ServerChannel; drop: (bytes: Uint8Array) => boolean },
): ExecConnection {
  return openExec(
    socket,
    { kind: "exec", vm, exec },
    {
      onStdout: (bytes) => (drop(bytes) ? undefined : writeChannel(channel, bytes)),
      onStderr: (bytes) => writeChannel(channel.stderr, bytes),
    },
  );
}

/** Feeds the channel's input to the guest until one of them has ended. */
export async function pump(channel: Duplex, connection: ExecConnection): Promise<void> {
  try {
    // The end of its input must not be the end of the channel, which still has output to carry.
    for await (const chunk of channel.iterator({ destroyOnReturn: false })) {
      if (!(await connection.writeStdin(chunk))) return;
    }
  } catch {
    // A channel that breaks off ends the input.
  }
  connection.endStdin();
}

/** Tells the client how the command ended, or why it did not run. */
export async function finishCommand(
  channel: ServerChannel,
  exited: Promise<ExecExit>,
  size: TerminalSize | undefined,
): Promise<void> {
  try {
    const exit = await exited;
    if ("code" in exit) channel.exit(exit.code);
    else channel.exit(exit.signal);
  } catch (thrown) {
    const error = toBangerError(thrown);
    if (error.code !== "cancelled") await explain(channel, error, size);
    const isAboutCommand = error.code.startsWith("command_");
    if (isAboutCommand) channel.exit(errorCodes[error.code].exit);
    else channel.exit(error.code === "not_found" ? STATUS_NOT_FOUND : STATUS_FAILED);
  }
  channel.end();
}

async function explain(
  channel: ServerChannel,
  { message, hint }: BangerError,
  size: TerminalSize | undefined,
): Promise<void> {
  const newline = size ? "\r\n" : "\n";
  const text = `banger: ${message}${newline}${hint ? `hint: ${hint}${newline}` : ""}`;
  await writeChannel(size ? channel : channel.stderr, Buffer.from(text)).catch(() => {});
}

/** Resolves when the client has room for more; at once when it is gone. */
export function writeChannel(stream: Writable, bytes: Uint8Array): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (!stream.writable) return Promise.resolve();
  stream.write(bytes, () => resolve());
  stream.once("close", resolve);
  return promise.finally(() => stream.off("close", resolve));
}
