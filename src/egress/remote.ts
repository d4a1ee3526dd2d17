/**
 * Interception where the proxy is in a network namespace of its own and secrets are with the daemon: the helper hands
 * such connections to the daemon, over a unix socket, with what the gate has established in a first line.
 */
import { mkdirSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { dirname } from "node:path";
import { z } from "zod";
import type { Decision } from "#api/network.ts";
import { parseAddress } from "#net/address.ts";
import { splitAuthority } from "./http-head.ts";
import type { GuestConnection, Interceptor } from "./intercept/interceptor.ts";
import { isFor, names } from "./secrets/secret.ts";
import { openUpstream } from "./upstream.ts";

const MAX_LINE_BYTES = 64 * 1024;
const LINE_TIMEOUT_MS = 10_000;
const HTTP_PORT = 80;

const handedOver = z.object({
  machineId: z.string(),
  host: z.string(),
  addresses: z.array(z.string()),
  /** Where the machine has connected to; the daemon goes nowhere else. */
  targets: z.array(z.string()),
  port: z.int(),
  head: z.string(),
});
type HandedOver = z.infer<typeof handedOver>;

/** The helper's side. `hostsOf`: hosts of a machine's secrets, as its policy says. */
export function handOver(
  path: string,
  hostsOf: (machineId: string) => readonly string[],
): Interceptor {
  return {
    wants(machineId, host, port) {
      const secret = { name: "", placeholder: "", hosts: hostsOf(machineId) };
      return isFor(secret, host, port) || (port === HTTP_PORT && names(secret, host));
    },
    async take({ socket, head, machineId, host, addresses, targets = addresses, port, signal }) {
      const daemon = connect({ path, allowHalfOpen: true });
      const end = (): void => {
        daemon.destroy();
        socket.destroy();
      };
      daemon.on("error", end).once("close", end);
      socket.on("error", end).once("close", end);
      signal.addEventListener("abort", end, { once: true });
      const first: HandedOver = {
        ...{ machineId, host, port },
        addresses: [...addresses],
        targets: [...targets],
        head: Buffer.from(head).toString("base64"),
      };
      daemon.write(`${JSON.stringify(first)}\n`);
      socket.pipe(daemon);
      daemon.pipe(socket);
      await new Promise<void>((resolve) => daemon.once("close", () => resolve()));
    },
  };
}

/** The daemon's side: only this user can connect, since the directory is the user's alone. */
export function takeOver(
  path: string,
  { interceptor, record }: { interceptor: Interceptor; record: (decision: Decision) => void },
): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  rmSync(path, { force: true });
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    void readLine(socket)
      .then((line) => interceptor.take(guestConnection(socket, { ...line, record })))
      .catch(() => socket.destroy());
  });
  server.on("error", () => {});
  server.listen(path);
  server.unref();
}

function guestConnection(
  socket: Socket,
  { record, ...line }: HandedOver & { record: (decision: Decision) => void },
): GuestConnection {
  const { machineId, host, port } = line;
  const closing = new AbortController();
  socket.once("close", () => closing.abort());
  const targets = line.targets.map(parseAddress);
  return {
    ...{ socket, machineId, host, port, addresses: line.addresses, targets },
    head: Buffer.from(line.head, "base64"),
    admit(authority) {
      const named = splitAuthority(authority);
      if (named?.host === host && (named.port ?? port) === port) return;
      throw new Error(`the request is for ${authority}, the connection for ${host}`);
    },
    connect: (signal) => openUpstream({ addresses: targets, port }, signal),
    log({ verdict, reason, secret }) {
      const made = verdict === "allow" ? ("allowed" as const) : ("denied" as const);
      const protocol = line.head.startsWith("Fg") ? ("tls" as const) : ("http" as const);
      const at = new Date().toISOString();
      record({ at, machineId, verdict: made, protocol, name: host, port, reason, secret });
    },
    signal: closing.signal,
  };
}

/** The first line of a connection; what follows it stays in the socket. */
async function readLine(socket: Socket): Promise<HandedOver> {
  const { promise, resolve, reject } = Promise.withResolvers<HandedOver>();
  const fail = (): void => reject(new Error("no connection"));
  const timer = setTimeout(fail, LINE_TIMEOUT_MS);
  let bytes = Buffer.alloc(0);
  const onData = (chunk: Buffer): void => {
    bytes = Buffer.concat([bytes, chunk]);
    const end = bytes.indexOf("\n");
    if (end < 0 && bytes.length <= MAX_LINE_BYTES) return;
    socket.off("data", onData).pause();
    try {
      const line = handedOver.parse(JSON.parse(bytes.subarray(0, Math.max(end, 0)).toString()));
      if (end + 1 < bytes.length) socket.unshift(bytes.subarray(end + 1));
      resolve(line);
    } catch (error) {
      reject(error);
    }
  };
  socket.on("data", onData).once("close", fail).resume();
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.off("close", fail);
  }
}
