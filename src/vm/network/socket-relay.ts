/** A unix socket of a machine whose connections are handled here: see guest/programs/relay.h. */
import { createConnection } from "node:net";
import type { Duplex } from "node:stream";
import { BangerError } from "#base/error.ts";
import type { Agent } from "#guest/agent.ts";
import { AGENT_PATH } from "#guest/protocol.ts";

/** More at once wait. */
const CONNECTIONS_MAX = 32;

export interface RelayOptions {
  /** Of the new socket in the machine. */
  path: string;
  mode: number;
  uid: number;
  gid: number;
  /** Handles one connection of the machine. */
  take: (inside: Duplex) => void;
  signal?: AbortSignal | undefined;
}

export interface Relay extends AsyncDisposable {
  /** Resolves when the machine has no such socket any more. */
  readonly ended: Promise<void>;
}

/** Until it is disposed of. */
export async function relaySocket(agent: Agent, options: RelayOptions): Promise<Relay> {
  const { path, mode, uid, gid, take, signal } = options;
  const waiting = `${path}.host`;
  const words = [path, waiting, mode.toString(8), String(uid), String(gid)];
  const program = await agent.exec(
    { argv: [AGENT_PATH, "relay", ...words], stdin: true },
    { signal },
  );
  const ready = Promise.withResolvers<void>();
  program.onStdout(() => ready.resolve());
  const ended = program.exited.then(
    () => {},
    () => {},
  );
  void ended.then(() =>
    ready.reject(
      new BangerError("guest", "Cannot forward a socket: the machine's guest agent is too old"),
    ),
  );
  await ready.promise;
  const open = new Set<Duplex>();
  const over = new AbortController();
  void offer(agent, { waiting, take, open, signal: over.signal }).catch(() => {});
  return {
    ended,
    async [Symbol.asyncDispose]() {
      over.abort();
      for (const end of open) end.destroy();
      await program.closeStdin();
      await ended;
    },
  };
}

/** Keeps one connection waiting in the machine; the first bytes of it are a client's. */
async function offer(
  agent: Agent,
  {
    waiting,
    take,
    open,
    signal,
  }: { waiting: string; take: RelayOptions["take"]; open: Set<Duplex>; signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    const inside = await agent.connect({ kind: "unix", path: waiting }, { signal });
    open.add(inside);
    const isTaken = await new Promise<boolean>((resolve) => {
      inside.once("readable", () => resolve(true));
      inside.once("close", () => resolve(false));
    });
    const over = new Promise<void>((resolve) => inside.once("close", resolve));
    void over.then(() => open.delete(inside));
    if (!isTaken) continue;
    take(inside);
    if (open.size >= CONNECTIONS_MAX) await over;
  }
}

/** To a socket on this computer. */
export function joinPath(inside: Duplex, hostPath: string): void {
  const outside = createConnection({ path: hostPath, allowHalfOpen: true });
  outside.on("error", () => inside.destroy());
  inside.on("error", () => outside.destroy());
  inside.on("close", () => outside.destroy());
  outside.on("close", () => inside.destroy());
  inside.pipe(outside);
  outside.pipe(inside);
}
