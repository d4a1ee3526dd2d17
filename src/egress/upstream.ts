/** Opens TCP to the destinations of machines, from where this process is. */
import { connect, type Socket } from "node:net";
import { abortError } from "#base/abort.ts";
import type { Address } from "#net/address.ts";

const CONNECT_TIMEOUT_MS = 30_000;

export interface Destination {
  /** Tried one after another. */
  addresses: readonly Address[];
  port: number;
}

/** The first that answers; rejects with the last one's error. */
export async function openUpstream(
  { addresses, port }: Destination,
  signal: AbortSignal,
): Promise<Socket> {
  let failure: unknown = new Error("the name has no address that a name may open");
  for (const address of addresses) {
    try {
      return await open(address, { port, signal });
    } catch (error) {
      if (signal.aborted) throw abortError(signal);
      failure = error;
    }
  }
  throw failure;
}

async function open(
  host: Address,
  { port, signal }: { port: number; signal: AbortSignal },
): Promise<Socket> {
  const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = (): void => reject(abortError(signal));
  const timer = setTimeout(() => reject(new Error("connection timed out")), CONNECT_TIMEOUT_MS);
  signal.addEventListener("abort", onAbort);
  socket.once("connect", resolve).on("error", reject);
  try {
    if (signal.aborted) onAbort();
    await promise;
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}
