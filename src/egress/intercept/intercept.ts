/** Ends the TLS of machines for the hosts of their secrets, and serves what they ask there. */
import type { Duplex } from "node:stream";
import * as tls from "node:tls";
import { getLogger } from "@logtape/logtape";
import { isFor, names, type SecretSource } from "#egress/secrets/secret.ts";
import { type Authority, makeAuthority } from "./certificates.ts";
import { offeredProtocols } from "./client-hello.ts";
import { Exchanges } from "./exchange.ts";
import { refusalOf, serveHttp1 } from "./http1/serve.ts";
import { serveHttp2 } from "./http2.ts";
import type { GuestConnection, Interceptor } from "./interceptor.ts";
import { Refused } from "./refused.ts";
import { connectTls } from "./upstream.ts";
import { write } from "./write.ts";

const log = getLogger(["banger", "egress"]);

const HTTP_PORT = 80;
const HTTP1 = "http/1.1";
const HTTP2 = "h2";
const TLS_HANDSHAKE = 22;
const HANDSHAKE_MAX_MS = 30_000;
/** A machine that has a connection open, and asks nothing on it. */
const IDLE_MAX_MS = 120_000;
/** Of machines; each costs some milliseconds to make again. */
const AUTHORITIES_MAX = 64;

export class SecretInterceptor implements Interceptor {
  readonly #source: SecretSource;
  readonly #key: () => Uint8Array;
  readonly #roots: string | undefined;
  readonly #idle_max_ms: number;
  readonly #authorities = new Map<string, Promise<Authority>>();

  /**
   * `key`: this host's, which the authorities of its machines are derived from. `roots`: a bundle in place of the
   * host's.
   */
  constructor(
    source: SecretSource,
    {
      key,
      roots,
      idle_max_ms = IDLE_MAX_MS,
    }: { key: () => Uint8Array; roots?: string; idle_max_ms?: number | undefined },
  ) {
    this.#source = source;
    this.#key = key;
    this.#roots = roots;
    this.#idle_max_ms = idle_max_ms;
  }

  /** Also where a secret's host is asked without TLS: a placeholder is refused there. */
  wants(machineId: string, host: string, port: number): boolean {
    const secrets = this.#source.of(machineId);
    return secrets.some(
      (each) => isFor(each, host, port) || (port === HTTP_PORT && names(each, host)),
    );
  }

  /** In PEM, for the trust stores of a machine. */
  async certificate(lineage: string): Promise<string> {
    return (await this.#authority(lineage)).certificate;
  }

  /** Never rejects: what went wrong is in the log of the connection. */
  async take(connection: GuestConnection): Promise<void> {
    const { socket, head, signal } = connection;
    const end = () => socket.destroy();
    signal.addEventListener("abort", end, { once: true });
    socket.on("error", end);
    try {
      if (head.length > 0) socket.unshift(head);
      if (head[0] === TLS_HANDSHAKE) await this.#takeTls(connection);
      else await this.#takePlain(connection);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const secret = error instanceof Refused ? error.secret : undefined;
      connection.log({ verdict: "deny", reason, secret });
      log.debug("{machineId} to {host}: {reason}", { ...pick(connection), reason });
    } finally {
      signal.removeEventListener("abort", end);
      socket.destroy();
    }
  }

  async #takeTls(connection: GuestConnection): Promise<void> {
    const { head, host, machineId, signal } = connection;
    const offered = offeredProtocols(head).filter((each) => each === HTTP1 || each === HTTP2);
    const leaf = await (await this.#authority(this.#source.lineage(machineId))).leaf(host);
    const exchanges = new Exchanges(connection, { source: this.#source, isEncrypted: true });
    let server: tls.TLSSocket;
    try {
      const protocols = offered.length > 0 ? offered : [HTTP1];
      server = await connectTls(await connection.connect(signal), {
        host,
        protocols,
        signal,
        roots: this.#roots,
      });
    } catch (error) {
      // The machine is told in the one way that its programs show.
      const refused =
        error instanceof Refused ? error : new Refused(messageOf(error), { status: 502 });
      const guest = await endTls(connection, leaf, offered.includes(HTTP1) ? [HTTP1] : []);
      await write(guest, refusalOf(refused));
      guest.end();
      await new Promise((resolve) => guest.once("close", resolve));
      throw refused;
    }
    const end = () => server.destroy();
    connection.socket.once("close", end);
    try {
      // Both ends speak the same: what a server chose, the machine is offered alone.
      const isHttp2 = server.alpnProtocol === HTTP2;
      const chosen = isHttp2 ? [HTTP2] : offered.includes(HTTP1) ? [HTTP1] : [];
      const guest = await endTls(connection, leaf, chosen);
      const sides = { guest, server, idle_max_ms: this.#idle_max_ms };
      await (isHttp2 ? serveHttp2 : serveHttp1)(sides, exchanges);
    } finally {
      server.destroy();
    }
  }

  async #takePlain(connection: GuestConnection): Promise<void> {
    const { socket, signal } = connection;
    const exchanges = new Exchanges(connection, { source: this.#source, isEncrypted: false });
    const server = await connection.connect(signal);
    server.on("error", () => server.destroy());
    socket.once("close", () => server.destroy());
    const sides = { guest: socket, server, idle_max_ms: this.#idle_max_ms };
    await serveHttp1(sides, exchanges);
  }

  #authority(lineage: string): Promise<Authority> {
    const known = this.#authorities.get(lineage);
    if (known !== undefined) return known;
    for (const oldest of this.#authorities.keys()) {
      if (this.#authorities.size < AUTHORITIES_MAX) break;
      this.#authorities.delete(oldest);
    }
    const made = makeAuthority(this.#key(), lineage);
    this.#authorities.set(lineage, made);
    return made;
  }
}

async function endTls(
  { socket, signal }: GuestConnection,
  leaf: { cert: string; key: string },
  protocols: string[],
): Promise<tls.TLSSocket> {
  const guest = new tls.TLSSocket(socket as Duplex as import("node:net").Socket, {
    isServer: true,
    cert: leaf.cert,
    key: leaf.key,
    ...(protocols.length > 0 ? { ALPNProtocols: protocols } : {}),
  });
  const done = Promise.withResolvers<void>();
  const limit = AbortSignal.any([signal, AbortSignal.timeout(HANDSHAKE_MAX_MS)]);
  const stop = () => done.reject(new Refused("no TLS with the machine in time"));
  limit.addEventListener("abort", stop, { once: true });
  guest.once("secure", () => done.resolve());
  guest.on("error", (error) => {
    done.reject(new Refused(`no TLS with the machine: ${error.message}`));
    guest.destroy();
  });
  guest.once("close", () => done.reject(new Refused("the machine closed the connection")));
  try {
    await done.promise;
    return guest;
  } finally {
    limit.removeEventListener("abort", stop);
  }
}

function pick({ machineId, host }: GuestConnection) {
  return { machineId, host };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
