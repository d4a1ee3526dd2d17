/** The daemon's DNS server: for machines on the bridge's address, for the host on loopback. */
import { createServer, type Server, type Socket } from "node:net";
import { BangerError, errnoOf, messageOf } from "#base/error.ts";
import {
  type Address,
  addressOf,
  type Cidr,
  contains,
  networkOf,
  parseAddress,
  tryParseAddress,
} from "#net/address.ts";
import { sendDatagram } from "#net/datagram.ts";
import { markSocket } from "#net/socket-mark.ts";
import { Answerer, type AnswererOptions } from "./answerer.ts";
import { Presence } from "./presence.ts";
import { MAX_QUERY_BYTES } from "./query.ts";

const DNS_PORT = 53;
const MAX_TCP_CLIENTS = 64;
const MAX_TCP_OF_CLIENT = 8;
/** Between two questions on one connection. */
const TCP_IDLE_MS = 10_000;

export interface ServeOptions {
  /** Default 53. Another one is where the rules of `banger setup` lead questions to. */
  port?: number | undefined;
  /** The machines' IPv6 block, whose reverse zone is authoritative here. */
  subnet6?: Cidr | undefined;
}

/** What the network needs of a DNS server for its machines. */
export interface GuestDns {
  /** Whether machines are answered at this gateway from now on; false when the port cannot be had. */
  serve(gateway: Cidr, options?: ServeOptions): Promise<boolean>;
}

interface Listener {
  address: Address;
  port: number;
  subnet: Cidr | undefined;
  subnet6: Cidr | undefined;
  presence?: Presence | undefined;
  close(): void;
}

export class DnsServer implements GuestDns, AsyncDisposable {
  readonly #answerer: Answerer;
  readonly #listeners: Listener[] = [];

  constructor(options: AnswererOptions) {
    this.#answerer = new Answerer(options);
  }

  /** `gateway` is the host's address on the bridge, which has to be there, with its prefix. */
  async serve(gateway: Cidr, options: ServeOptions = {}): Promise<boolean> {
    const [address, subnet] = [addressOf(gateway), networkOf(gateway)];
    const { port = DNS_PORT, subnet6 } = options;
    const known = this.#listeners.find((each) => each.address === address && each.port === port);
    if (known) {
      known.subnet = subnet;
      known.subnet6 = subnet6;
      return true;
    }
    try {
      const presence = port === DNS_PORT ? undefined : new Presence(address, port);
      await this.#listen({ address, port, subnet, subnet6, presence });
      await presence?.open();
      return true;
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === "EADDRINUSE" || errno === "EACCES" || errno === "EPERM") return false;
      throw error;
    }
  }

  /** Whether asking port 53 of this address would be asking itself. */
  serves(address: Address): boolean {
    return this.#listeners.some((each) => each.address === address && each.port === DNS_PORT);
  }

  /** For programs of the host: the machines' names and nothing else. Gives the port; 0 takes any. */
  async listenLocal(port: number): Promise<number> {
    try {
      return await this.#listen({
        address: parseAddress("127.0.0.1"),
        port,
        subnet: undefined,
        subnet6: undefined,
      });
    } catch (error) {
      const isTaken = errnoOf(error) === "EADDRINUSE";
      throw new BangerError(
        isTaken ? "conflict" : "unavailable",
        `Cannot listen for DNS on 127.0.0.1:${port}: ${isTaken ? "address already in use" : messageOf(error)}`,
        { hint: `Find the process with: sudo ss -lunp "sport = :${port}"`, cause: error },
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#answerer.close();
    for (const listener of this.#listeners.splice(0)) listener.close();
  }

  async #listen(wanted: Omit<Listener, "close">): Promise<number> {
    const listener: Listener = { ...wanted, close: () => {} };
    const udp = await this.#listenUdp(listener);
    try {
      // The same number for both, also where it was any that is free.
      const tcp = await this.#listenTcp(listener, udp.port);
      listener.port = udp.port;
      listener.close = () => {
        listener.presence?.close();
        udp.close();
        tcp.close();
      };
      this.#listeners.push(listener);
      return udp.port;
    } catch (error) {
      udp.close();
      throw error;
    }
  }

  async #listenUdp(listener: Listener): Promise<Bun.udp.Socket<"buffer">> {
    const udp = await Bun.udpSocket({
      hostname: listener.address,
      port: listener.port,
      socket: {
        data: (socket, data, port, from) => {
          const origin = originOf(listener, from);
          if (!origin) return;
          const message = Buffer.from(data);
          void this.#answerer.answer(message, { ...origin, udp: true }).then((reply) => {
            if (reply) sendDatagram(() => socket.send(reply, port, from));
          });
        },
        error() {},
      },
    });
    // There is one; the types do not know it yet.
    markSocket((udp as { fd?: number }).fd ?? -1);
    return udp;
  }

  async #listenTcp(listener: Listener, port: number): Promise<{ close(): void }> {
    const clients = new Map<Socket, Address>();
    const server: Server = createServer((client) => {
      const origin = originOf(listener, client.remoteAddress ?? "");
      const ofSame = [...clients.values()].filter((address) => address === origin?.address);
      if (!origin || ofSame.length >= MAX_TCP_OF_CLIENT) {
        client.destroy();
        return;
      }
      clients.set(client, origin.address);
      client.once("close", () => clients.delete(client));
      client.on("error", () => {});
      client.setTimeout(TCP_IDLE_MS, () => client.destroy());
      const serve = () =>
        serveConnection(client, async (message) =>
          this.#answerer.answer(message, { ...origin, udp: false }),
        );
      const isOwn = origin.address === listener.address && listener.presence?.takes(client);
      void Promise.resolve(isOwn).then((taken) => (taken ? undefined : serve()));
    });
    server.maxConnections = MAX_TCP_CLIENTS;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once("error", reject);
    server.listen({ host: listener.address, port }, resolve);
    await promise;
    server.on("error", () => {});
    markSocket((server as { _handle?: { fd?: number } })._handle?.fd ?? -1);
    return {
      close: () => {
        server.close();
        for (const client of clients.keys()) client.destroy();
      },
    };
  }
}

/** Undefined for whom there is no answer: neither a machine of this bridge nor the host. */
function originOf(listener: Listener, from: string) {
  const address = tryParseAddress(from);
  if (!address) return undefined;
  const { subnet, subnet6 } = listener;
  const isHost = address === listener.address || address.startsWith("127.");
  if (isHost) return { address, subnet: undefined, subnet6 };
  return subnet && contains(subnet, address) ? { address, subnet, subnet6 } : undefined;
}

/** Messages with their length in front, one after another (RFC 7766), until either side has enough. */
async function serveConnection(
  client: Socket,
  answer: (message: Buffer) => Promise<Buffer | undefined>,
): Promise<void> {
  let received = Buffer.alloc(0);
  try {
    for await (const chunk of client) {
      received = Buffer.concat([received, chunk as Buffer]);
      while (received.length >= 2) {
        const size_bytes = received.readUInt16BE(0);
        if (size_bytes > MAX_QUERY_BYTES) return;
        if (received.length < 2 + size_bytes) break;
        const reply = await answer(received.subarray(2, 2 + size_bytes));
        received = received.subarray(2 + size_bytes);
        if (!reply) return;
        const length = Buffer.alloc(2);
        length.writeUInt16BE(reply.length);
        if (!client.write(Buffer.concat([length, reply]))) await drained(client);
      }
    }
  } catch {
    // The client has gone.
  } finally {
    client.destroySoon();
  }
}

/** So that a client which asks and never reads does not fill memory. */
async function drained(client: Socket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  client.once("drain", resolve);
  client.once("close", resolve);
  await promise;
}
