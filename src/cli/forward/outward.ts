/** Local forwarding: a port or socket on the host whose connections go to a machine. */
import { rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { BangerError, errnoOf, messageOf } from "#base/error.ts";
import { writeChannel } from "#cli/ssh/channel.ts";
import { openExec } from "#sdk/exec.ts";
import { type End, endText, type ForwardSpec } from "./spec.ts";

const LOCAL_HOST = "127.0.0.1";
/** As the machine has it. */
const REMOTE_HOST = "localhost";

export interface ForwardOptions {
  /** Path of the daemon's socket. */
  socket: string;
  vm: string;
  /** Told of each connection that did not come about. */
  onFailure(message: string): void;
}

/** Resolves when it listens; a connection that fails is only its own. */
export async function listenHere(
  { local, remote }: ForwardSpec,
  options: ForwardOptions,
): Promise<Disposable & { text: string }> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    // Whoever breaks off is gone; the other side is told by the end of its data.
    socket.on("error", () => {});
    void join(socket, remote, options);
  });
  const text = endText(local, LOCAL_HOST);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", (error) => reject(cannotListen(text, error)));
  if (local.kind === "unix") server.listen(local.path, resolve);
  else server.listen(local.port, local.host ?? LOCAL_HOST, resolve);
  await promise;
  return {
    text,
    [Symbol.dispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      if (local.kind === "unix") rmSync(local.path, { force: true });
    },
  };
}

async function join(socket: Socket, remote: End, options: ForwardOptions): Promise<void> {
  const { vm, onFailure } = options;
  const target =
    remote.kind === "unix"
      ? { path: remote.path }
      : { host: remote.host ?? REMOTE_HOST, port: remote.port };
  const connection = openExec(
    options.socket,
    { kind: "connect", vm, target },
    { onStdout: (bytes) => writeChannel(socket, bytes) },
  );
  socket.on("close", connection.close);
  try {
    await connection.started;
    void (async () => {
      try {
        for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
          if (!(await connection.writeStdin(chunk as Uint8Array))) return;
        }
      } catch {
        // A connection that breaks off ends its direction.
      }
      connection.endStdin();
    })();
    await connection.exited;
    socket.end();
  } catch (error) {
    if (!socket.destroyed) onFailure(messageOf(error));
    socket.destroy();
  }
}

function cannotListen(text: string, error: unknown): BangerError {
  const errno = errnoOf(error);
  if (errno === "EADDRINUSE") {
    return new BangerError("conflict", `Cannot listen on ${text}: address already in use`, {
      hint: "Use a different address, or stop the process that listens there",
    });
  }
  const code = errno === "EACCES" || errno === "EPERM" ? "permission_denied" : "invalid_argument";
  return new BangerError(code, `Cannot listen on ${text}: ${messageOf(error)}`, { cause: error });
}
