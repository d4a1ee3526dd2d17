/**
 * Firecracker's vsock: one unix socket for connections to the guest, each of which begins with a line
 * "CONNECT PORT\n" and its answer "OK NUMBER\n"; and for connections from the guest to PORT a socket
 * that we listen on, named after the first with "_PORT" at its end.
 */
import { chmodSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { throwIfAborted } from "#base/abort.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { openSocket } from "#vmm/socket.ts";

/** "OK 4294967295\n" takes 14. */
const ANSWER_MAX_BYTES = 32;
const NEWLINE = 10;

export interface ConnectOptions {
  signal?: AbortSignal | undefined;
  /** Default: none. */
  timeout_ms?: number;
}

/**
 * A stream to a port of the guest. Rejects with `unavailable` when nobody listens there (or
 * Firecracker is gone), `timeout`, `cancelled`, `integrity` for an answer of another form.
 */
export async function connectGuest(
  path: string,
  port: number,
  options: ConnectOptions = {},
): Promise<Socket> {
  const { timeout_ms } = options;
  const limit = timeout_ms === undefined ? undefined : AbortSignal.timeout(timeout_ms);
  const signal = AbortSignal.any([limit, options.signal].flatMap((each) => each ?? []));
  let socket: Socket | undefined;
  try {
    socket = await openSocket(path, signal);
    socket.write(`CONNECT ${port}\n`);
    const { line, rest } = await readLine(socket, signal);
    if (!/^OK \d{1,10}$/.test(line)) {
      const shown = JSON.stringify(line);
      throw new BangerError("integrity", `Cannot reach port ${port} of the guest: got ${shown}`);
    }
    // What came with the answer already belongs to the stream.
    if (rest.length > 0) socket.unshift(rest);
    return socket;
  } catch (error) {
    socket?.destroy();
    throwIfAborted(options.signal);
    if (limit?.aborted) {
      const text = `Cannot reach port ${port} of the guest: no response within ${timeout_ms} ms`;
      throw new BangerError("timeout", text, { cause: error });
    }
    throw error;
  }
}

/**
 * Reads up to the first newline, and leaves the socket as new: a socket that was ever set flowing or
 * paused would not start to flow for the next one who listens to its data.
 */
function readLine(socket: Socket, signal: AbortSignal): Promise<{ line: string; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    let text = Buffer.alloc(0);
    const settle = (act: () => void): void => {
      socket.off("readable", onReadable);
      socket.off("close", onClose);
      signal.removeEventListener("abort", onAbort);
      act();
    };
    const fail = (code: "integrity" | "unavailable" | "cancelled", why: string): void =>
      settle(() => reject(new BangerError(code, `Cannot reach the guest: ${why}`)));
    const onReadable = (): void => {
      const chunk: Buffer | null = socket.read();
      text = Buffer.concat([text, chunk ?? Buffer.alloc(0)]);
      const end = text.indexOf(NEWLINE);
      if ((end < 0 ? text.length : end) > ANSWER_MAX_BYTES) {
        fail("integrity", "response too long");
      } else if (end >= 0) {
        const line = text.toString("latin1", 0, end);
        settle(() => resolve({ line, rest: text.subarray(end + 1) }));
      }
    };
    const onClose = (): void => fail("unavailable", "connection refused");
    const onAbort = (): void => fail("cancelled", "cancelled");
    // What goes wrong with the socket ends in its close; later errors belong to who reads it.
    socket.on("error", () => {});
    socket.on("readable", onReadable);
    socket.once("close", onClose);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}

export interface GuestListener {
  close(): Promise<void>;
}

/** Takes connections that the guest makes to `port` of the host (context id 2). */
export function listenToGuest(
  path: string,
  port: number,
  onConnection: (socket: Socket) => void,
): Promise<GuestListener> {
  const address = `${path}_${port}`;
  rmSync(address, { force: true });
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => open.delete(socket));
    onConnection(socket);
  });
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => {
      const text = `Cannot listen on "${address}": ${messageOf(cause)}`;
      reject(new BangerError("unavailable", text, { cause }));
    });
    server.listen(address, () => {
      // The user of a jail connects as well; nobody else gets into the folder.
      chmodSync(address, 0o666);
      resolve({ close: () => closeListener(server, open, address) });
    });
  });
}

async function closeListener(server: Server, open: Set<Socket>, address: string): Promise<void> {
  for (const socket of open) socket.destroy();
  const closed = new Promise((resolve) => server.close(resolve));
  // At once: what is there later is the next listener's.
  rmSync(address, { force: true });
  await closed;
}
