/** The proxy of machines whose policy has rules by name: their TCP connections are redirected here. */
import { createServer, type Server, type Socket } from "node:net";
import { BangerError, errnoOf, messageOf } from "#base/error.ts";
import { type Address, familyOf, tryParseAddress } from "#net/address.ts";
import type { Policies } from "#net/policy/policies.ts";
import type { GuestProxy } from "#net/policy/proxy.ts";
import type { ProxyEnd } from "#net/policy/table.ts";
import { markSocket } from "#net/socket-mark.ts";
import { type ConnectionDeps, GuestConnection } from "./connection.ts";
import { originalDestination } from "./original-destination.ts";

/** More connections of one machine are turned away. */
const MAX_OF_MACHINE = 1024;
/** Of all machines. */
const MAX_CONNECTIONS = 8192;
const PORT_ATTEMPTS = 8;

export interface ProxyOptions extends Pick<ConnectionDeps, "ask" | "resolve" | "interceptor"> {
  policies: Policies;
}

export class EgressProxy implements GuestProxy, AsyncDisposable {
  readonly #options: ProxyOptions;
  readonly #servers = new Map<Address, Server>();
  readonly #open = new Map<string, Set<GuestConnection>>();
  #port = 0;

  constructor(options: ProxyOptions) {
    this.#options = options;
    options.policies.onChange((machineId) => {
      for (const connection of this.#open.get(machineId) ?? []) connection.reconsider();
    });
  }

  async serve(addresses: readonly Address[]): Promise<ProxyEnd> {
    for (let attempt = 1; ; attempt++) {
      try {
        for (const address of addresses) await this.#listen(address);
        return { port: this.#port, addresses };
      } catch (error) {
        // Free on one address, and taken on another: only as long as no rule leads there.
        const isFirst = [...this.#servers.keys()].every((each) => addresses.includes(each));
        if (errnoOf(error) !== "EADDRINUSE" || !isFirst || attempt === PORT_ATTEMPTS) {
          throw listenFailure(error);
        }
        await this.#close();
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connections of this.#open.values()) for (const each of connections) each.close();
    await this.#close();
  }

  async #close(): Promise<void> {
    this.#port = 0;
    for (const server of this.#servers.values()) server.close();
    this.#servers.clear();
  }

  async #listen(address: Address): Promise<void> {
    if (this.#servers.has(address)) return;
    const options = { allowHalfOpen: true, pauseOnConnect: true, noDelay: true };
    const server = createServer(options, (client) => void this.#take(client, familyOf(address)));
    server.maxConnections = MAX_CONNECTIONS;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once("error", reject);
    server.listen({ host: address, port: this.#port, ipv6Only: true }, resolve);
    await promise;
    server.on("error", () => {});
    markSocket((server as { _handle?: { fd?: number } })._handle?.fd ?? -1);
    const bound = server.address();
    this.#port = typeof bound === "object" && bound ? bound.port : this.#port;
    this.#servers.set(address, server);
  }

  async #take(client: Socket, family: 4 | 6): Promise<void> {
    const { policies, ...others } = this.#options;
    const from = tryParseAddress(client.remoteAddress ?? "");
    const machine = from && policies.machineAt(from);
    const fd = (client as { _handle?: { fd?: number } })._handle?.fd ?? -1;
    const destination = machine && originalDestination(fd, family);
    // Nobody but a machine is led here, and nobody else is served.
    const isRedirected = destination && !this.#servers.has(destination.address);
    const ofMachine = this.#open.get(machine?.machineId ?? "") ?? new Set();
    const all = [...this.#open.values()].reduce((sum, { size }) => sum + size, 0);
    if (!machine || !isRedirected || !mayOpen({ own: ofMachine.size, all })) {
      client.resetAndDestroy();
      return;
    }
    const { machineId } = machine;
    const connection = new GuestConnection(client, destination, {
      ...others,
      machine: () => {
        const now = policies.machineAt(from);
        return now?.machineId === machineId ? now : undefined;
      },
      ownAddresses: () => policies.ownAddresses(),
      record: (decision) => policies.record(decision),
    });
    this.#open.set(machineId, ofMachine.add(connection));
    client.once("close", () => {
      ofMachine.delete(connection);
      if (ofMachine.size === 0 && this.#open.get(machineId) === ofMachine) {
        this.#open.delete(machineId);
      }
    });
    await connection.serve();
  }
}

/**
 * Whether a machine that has `own` connections may open one more, when there are `all`: it may have as many as are
 * left for others. However many machines take what they can get, some are left for the next.
 */
export function mayOpen({ own, all }: { own: number; all: number }): boolean {
  return own < Math.min(MAX_OF_MACHINE, MAX_CONNECTIONS - all);
}

function listenFailure(error: unknown): BangerError {
  return new BangerError(
    "unavailable",
    `Cannot start the proxy for machines with a policy: ${messageOf(error)}`,
    { hint: "Check the host with: banger doctor", cause: error },
  );
}
