/** An ssh session channel: requests for environment, terminal and agent, then one command. */
import type { Connection, PseudoTtyInfo, ServerChannel, Session } from "ssh2";
import type { ExecRequest, TerminalSize } from "#api/exec.ts";
import { BangerError } from "#base/error.ts";
import type { ExecConnection } from "#sdk/exec.ts";
import { execInGuest, finishCommand, type Guest, pump } from "./channel.ts";
import { loginRequest, plainRequest, sftpRequest } from "./login.ts";
import { forwardAgent } from "./reverse.ts";

/** Of the variables that a client sends. */
const ENV_MAX = 256;
const COLUMNS_DEFAULT = 80;
const ROWS_DEFAULT = 24;
const CELLS_MAX = 10_000;

/** The longest argument that Linux takes, its NUL left out: what a shell is given after -c. */
const COMMAND_MAX_BYTES = 128 * 1024 - 1;
/** What sshd would say of a connection from this computer; it has no port, coming over a pipe. */
const CONNECTION = {
  SSH_CLIENT: "127.0.0.1 65535 22",
  SSH_CONNECTION: "127.0.0.1 65535 127.0.0.1 22",
};
/** Output that is dropped after the client has said that it takes no more; a command that goes on is then ended. */
const UNWANTED_MAX_BYTES = 1024 * 1024;

/** A client that wants no answer gives no way to answer. */
type Answer = (() => unknown) | undefined;

/** Who asks, and of which machine. */
export interface SessionContext {
  client: Connection;
  guest: Guest;
  user: string;
}

export function serveSession(session: Session, { client, guest, user }: SessionContext): void {
  const env: Record<string, string> = {};
  let size: TerminalSize | undefined;
  let connection: ExecConnection | undefined;
  let agent: ReturnType<typeof forwardAgent> | undefined;
  let isUnwanted = false;

  session.on("pty", (accept: Answer, _reject: Answer, info: PseudoTtyInfo & { term?: string }) => {
    size = sizeOf(info);
    if (info.term) env["TERM"] = info.term;
    accept?.();
  });
  session.on("window-change", (accept: Answer, _reject: Answer, info) => {
    size = sizeOf(info);
    connection?.resize(size);
    accept?.();
  });
  session.on(
    "env",
    (accept: Answer, reject: Answer, { key, val }: { key: string; val: string }) => {
      const isTaken = /^[A-Za-z_]\w*$/.test(key) && Object.keys(env).length < ENV_MAX;
      if (isTaken) env[key] = val;
      (isTaken ? accept : reject)?.();
    },
  );
  session.on("auth-agent", (accept: Answer) => {
    agent ??= forwardAgent(client, guest, user);
    accept?.();
  });
  session.on("close", () => agent?.close());
  session.on("signal", (accept: Answer, _reject: Answer, { name }: { name: string }) => {
    if (/^[A-Z][A-Z0-9+]{1,9}$/.test(name)) connection?.signal(name);
    accept?.();
  });
  session.on("exec", (accept, _reject, { command }) => {
    const channel = accept();
    if (Buffer.byteLength(command) > COMMAND_MAX_BYTES) {
      void finishCommand(channel, Promise.reject(tooLong(command)), size);
    } else {
      void start(channel, loginRequest(user, command), plainRequest(user, command));
    }
  });
  // What a reader has closed on the client's side, such as `head`. The library's types do not know it.
  (session as NodeJS.EventEmitter).on("eow", () => {
    isUnwanted = true;
  });
  session.on("shell", (accept) => void start(accept(), loginRequest(user, undefined)));
  session.on("subsystem", (accept, reject, { name }) => {
    if (name === "sftp") void start(accept(), sftpRequest(user));
    else reject?.();
  });

  /** `fallback` is run where the image has no shell. */
  async function start(
    channel: ServerChannel,
    request: ExecRequest,
    fallback?: ExecRequest,
  ): Promise<void> {
    const socket = await agent?.path.catch(() => undefined);
    if (socket) env["SSH_AUTH_SOCK"] = socket;
    const open = (exec: ExecRequest): ExecConnection => {
      const terminal = size ? { terminal: size } : {};
      const request = { ...exec, env: { ...env, ...CONNECTION }, ...terminal };
      return execInGuest(guest, request, { channel, drop });
    };
    const dropUnwanted = makeDropper(() => connection);
    const drop = (bytes: Uint8Array): boolean => isUnwanted && dropUnwanted(bytes);
    connection = open(request);
    channel.on("close", () => connection?.close());
    try {
      await connection.started;
    } catch (error) {
      // An agent of before has the one for both.
      const isShellMissing =
        error instanceof BangerError && /^(command_)?not_found$/.test(error.code);
      if (isShellMissing && fallback) connection = open(fallback);
    }
    void pump(channel, connection);
    await finishCommand(channel, connection.exited, size);
  }
}

/** Drops output that the client no longer reads, and ends the command as a closed pipe does. */
function makeDropper(connection: () => ExecConnection | undefined) {
  let dropped_bytes = 0;
  return (bytes: Uint8Array): true => {
    if (dropped_bytes === 0) connection()?.signal("PIPE");
    dropped_bytes += bytes.length;
    if (dropped_bytes > UNWANTED_MAX_BYTES) connection()?.close();
    return true;
  };
}

/** A client may know its terminal's size in pixels only, or not at all. */
function sizeOf({ cols, rows }: { cols: number; rows: number }): TerminalSize {
  return {
    columns: Math.min(cols || COLUMNS_DEFAULT, CELLS_MAX),
    rows: Math.min(rows || ROWS_DEFAULT, CELLS_MAX),
  };
}

function tooLong(command: string): BangerError {
  return new BangerError(
    "limit_exceeded",
    `Cannot run the command: argument list too long: ${Buffer.byteLength(command)} bytes, at most ${COMMAND_MAX_BYTES}`,
    { hint: "Pass it to a shell on stdin: ssh HOST sh < FILE" },
  );
}
