/** Addresses that the API is served at: from the configuration, and for running `banger serve` commands. */
import { readFileSync } from "node:fs";
import { getLogger } from "@logtape/logtape";
import type { ServeListen, Serving } from "#api/serve/serving.ts";
import { aborted } from "#base/abort.ts";
import { BangerError, messageOf } from "#base/error.ts";
import type { ConfigValues } from "#config/schema.ts";
import { formatAuthority, type ListenAddress, parseListenAddress } from "./address.ts";
import type { Tokens } from "./tokens.ts";

const log = getLogger(["banger", "daemon"]);
export const DEFAULT_ADDRESS = "127.0.0.1:7777";

export interface ListenOptions {
  address: ListenAddress;
  hosts: readonly string[];
  /** PEM. */
  tls: { cert: string; key: string } | undefined;
}

export interface Listener extends AsyncDisposable {
  url: string;
}

type ServeValues = Pick<
  ConfigValues,
  "serve.listen" | "serve.tls_cert" | "serve.tls_key" | "serve.hosts"
>;

export class Listeners {
  readonly #values: ServeValues;
  readonly #tokens: Tokens;
  readonly #open = new Map<Listener, Serving>();
  #listen: ((options: ListenOptions) => Promise<Listener>) | undefined;

  constructor(values: ServeValues, tokens: Tokens) {
    this.#values = values;
    this.#tokens = tokens;
  }

  /** Starts the listener of the configuration; from now on `serve` works. */
  async begin(listen: (options: ListenOptions) => Promise<Listener>): Promise<void> {
    this.#listen = listen;
    const address = this.#values["serve.listen"];
    if (address === "") return;
    try {
      const { url } = await this.#start({}, true);
      log.info("the API is served at {url}", { url });
    } catch (error) {
      // The daemon is useful without it.
      log.error("cannot serve the API: {message}", { message: messageOf(error) });
    }
  }

  list(): Serving[] {
    return [...this.#open.values()];
  }

  /** Yields the address, then listens until `signal` fires or the reader leaves. */
  async *whileOpen(
    wanted: ServeListen,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Serving, undefined> {
    const same = this.#configured(wanted);
    if (same) {
      yield same;
      if (signal) await aborted(signal);
      return undefined;
    }
    await using listener = await this.#start(wanted, false);
    try {
      yield { url: listener.url, isConfigured: false };
      if (signal) await aborted(signal);
    } finally {
      this.#open.delete(listener);
    }
    return undefined;
  }

  /** Serves on loopback until the result is disposed of; port 0 is any that is free. */
  async openLocal(port: number | undefined): Promise<{ url: string; listening: AsyncDisposable }> {
    const address = port === undefined ? DEFAULT_ADDRESS : `127.0.0.1:${port}`;
    const listener = await this.#start({ address }, false, { isPlain: true });
    const close = async (): Promise<void> => {
      this.#open.delete(listener);
      await listener[Symbol.asyncDispose]();
    };
    return { url: listener.url, listening: { [Symbol.asyncDispose]: close } };
  }

  async stop(): Promise<void> {
    const open = [...this.#open.keys()];
    this.#open.clear();
    await Promise.all(open.map((listener) => listener[Symbol.asyncDispose]()));
  }

  /** The configured listener, if it already serves the same address. */
  #configured({ address, cert }: ServeListen): Serving | undefined {
    const configured = this.list().find(({ isConfigured }) => isConfigured);
    if (!configured || cert !== undefined) return undefined;
    const wanted = address ?? this.#values["serve.listen"];
    const { hostname, port } = parseListenAddress(wanted);
    return new URL(configured.url).host === formatAuthority(hostname, port)
      ? configured
      : undefined;
  }

  async #start(
    wanted: ServeListen,
    isConfigured: boolean,
    { isPlain = false } = {},
  ): Promise<Listener> {
    const listen = this.#listen;
    if (!listen) throw new BangerError("unavailable", "the daemon is starting or stopping");
    const text = wanted.address ?? (this.#values["serve.listen"] || DEFAULT_ADDRESS);
    const address = parseListenAddress(text);
    const cert = isPlain ? "" : (wanted.cert ?? this.#values["serve.tls_cert"]);
    const key = isPlain ? "" : (wanted.key ?? this.#values["serve.tls_key"]);
    const tls =
      cert || key ? { cert: readPem(cert, "certificate"), key: readPem(key, "key") } : undefined;
    this.#assertSafe(address, text, tls !== undefined);
    const hosts = [...this.#values["serve.hosts"], ...(wanted.hosts ?? [])];
    const listener = await listen({ address, tls, hosts: hosts.map((host) => host.toLowerCase()) });
    this.#open.set(listener, { url: listener.url, isConfigured });
    return listener;
  }

  #assertSafe({ isLocal }: ListenAddress, text: string, isEncrypted: boolean): void {
    if (isLocal) return;
    if (!isEncrypted) {
      throw new BangerError(
        "invalid_argument",
        `Cannot listen on ${text}: other hosts reach it, so TLS is required`,
        { hint: "Give a certificate and its key: banger serve --tls-cert FILE --tls-key FILE" },
      );
    }
    if (this.#tokens.isAny) return;
    throw new BangerError(
      "invalid_argument",
      `Cannot listen on ${text}: other hosts reach it, so a token is required`,
      { hint: "Create one first: banger token create" },
    );
  }
}

function readPem(path: string, what: string): string {
  if (path === "") {
    throw new BangerError(
      "invalid_argument",
      `TLS needs a certificate and a key: no ${what} given`,
    );
  }
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new BangerError("not_found", `Cannot read the ${what} ${path}: ${messageOf(cause)}`, {
      cause,
    });
  }
}
