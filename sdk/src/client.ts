/**
 * A typed client of the daemon, derived from the contract by its types alone: no schema
 * is loaded, so that a program that uses it starts fast.
 */
import { type ClientLink, createORPCClient, mapEventIterator } from "@orpc/client";
import { RPCLink } from "@orpc/client/fetch";
import type { ContractRouterClient } from "@orpc/contract";
import type { contract } from "#api/contract.ts";
import { fromRpc } from "./errors.ts";

/** Every procedure takes `(input, { signal })`; aborting the signal cancels the work in the daemon. */
export type Client = ContractRouterClient<typeof contract>;

export interface ConnectOptions {
  /** Path of the daemon's unix socket. */
  socket: string;
}

type Context = Record<never, never>;

/** How calls reach the daemon. */
export interface Transport {
  /** Of the RPC endpoint. */
  url: string;
  fetch: (request: Request, init: { redirect?: RequestRedirect }) => Promise<Response>;
  /** The socket's path, or an address, for errors. */
  where: string;
  headers?: Record<string, string> | undefined;
}

/** Does not connect until the first call. Calls throw only BangerErrors, `unavailable` if no daemon answers. */
export function connect({ socket }: ConnectOptions): Client {
  // A call may be silent for as long as a machine runs: the time limit is the caller's signal.
  const transport = { unix: socket, timeout: false };
  return clientOver({
    url: "http://banger/rpc",
    fetch: (request, init) => fetch(request, { ...init, ...transport }),
    where: socket,
  });
}

export function clientOver({ url, fetch, where, headers }: Transport): Client {
  const rpc = new RPCLink<Context>({ url, fetch, headers: headers ?? {} });
  return clientOf((path, input, options) => rpc.call(path, input, options), where);
}

type Options = Parameters<ClientLink<Context>["call"]>[2];

/** A client whose calls `call` makes; what it throws, also in a stream, is thrown as BangerErrors. */
export function clientOf(
  call: (path: readonly string[], input: unknown, options: Options) => Promise<unknown>,
  where: string,
): Client {
  const link: ClientLink<Context> = {
    async call(path, input, options) {
      const fail = (error: unknown) => fromRpc(error, { socket: where, signal: options.signal });
      try {
        const output = await call(path, input, options);
        if (!isAsyncIterator(output)) return output;
        return mapEventIterator(output, {
          value: async (value: unknown) => value,
          error: async (error) => fail(error),
        });
      } catch (error) {
        throw fail(error);
      }
    },
  };
  return createORPCClient(link);
}

function isAsyncIterator(value: unknown): value is AsyncIterator<unknown, unknown, unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}
