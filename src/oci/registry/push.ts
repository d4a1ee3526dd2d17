/** The push half of the OCI distribution specification 1.1: missing blobs first, then the manifest. */
import { assert } from "#base/assert.ts";
import { type Digest, shortDigest } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import type { OnProgress } from "#base/progress.ts";
import { discard } from "#http/body.ts";
import { askHead } from "#http/download.ts";
import { statusFailure, TransferError } from "#http/failure.ts";
import { withRetries } from "#http/retry.ts";
import { type Answer, networkFailure, type Request, send } from "#http/transport.ts";
import { startWatchdog, type Watchdog } from "#http/watchdog.ts";
import { countBytes } from "#oci/image.ts";
import { canonicalName, type Reference } from "#oci/reference.ts";
import { type Authorizer, createAuthorizer } from "./auth.ts";
import type { RegistryOptions } from "./client.ts";
import { type Endpoint, endpointsOf } from "./endpoint.ts";

/** A registry may hash a whole layer before it responds. */
const STALL_TIMEOUT_DEFAULT_MS = 120_000;
const REDIRECTS_MAX = 5;
/** The specification requires 201; some registries return another 2xx status. */
const STORED: readonly number[] = [200, 201, 204];

export interface PushedBlob {
  digest: Digest;
  size: number;
  /** Opens the bytes from the start; called once per attempt. */
  read(signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export interface PushOptions extends RegistryOptions {
  blobs: readonly PushedBlob[];
  manifest: { bytes: Uint8Array; digest: Digest; mediaType: string };
  signal?: AbortSignal | undefined;
  /** One step for each blob: "push <12 hex digits>", in bytes. */
  onProgress?: OnProgress | undefined;
}

/**
 * Pushes to the registry itself, never to a mirror. Errors: `invalid_argument` for a reference by digest,
 * `unauthorized`, `not_found`, `unavailable`, `cancelled`.
 */
export async function pushToRegistry(reference: Reference, options: PushOptions): Promise<void> {
  const name = canonicalName(reference);
  if (reference.digest !== undefined) {
    throw new BangerError(
      "invalid_argument",
      `Cannot push to ${name}: a digest is not a valid destination`,
      {
        hint: 'Use a tag: "registry.example/team/name:tag"',
      },
    );
  }
  const signal = options.signal ?? new AbortController().signal;
  const push = new Push(reference, { ...options, signal });
  const retry = { signal, delay_ms: options.retryDelay_ms };
  for (const blob of options.blobs) await withRetries(() => push.blob(blob), retry);
  await withRetries(() => push.manifest(options.manifest), retry);
}

/** Requests to one repository. Each method is one attempt. */
class Push {
  readonly #reference: Reference;
  readonly #name: string;
  readonly #options: PushOptions & { signal: AbortSignal };
  readonly #endpoint: Endpoint;
  readonly #authorizer: Authorizer;

  constructor(reference: Reference, options: PushOptions & { signal: AbortSignal }) {
    const [endpoint] = endpointsOf(reference.registry, { ...options, mirrors: {} });
    assert(endpoint, "a registry has a server");
    this.#reference = reference;
    this.#name = canonicalName(reference);
    this.#options = options;
    this.#endpoint = endpoint;
    this.#authorizer = createAuthorizer(endpoint, {
      repository: reference.repository,
      actions: "pull,push",
      dockerConfigPath: options.dockerConfigPath,
      insecureRegistries: options.insecureRegistries,
    });
  }

  async blob(blob: PushedBlob): Promise<void> {
    const short = shortDigest(blob.digest);
    const report = (done: number, message: string): void =>
      this.#options.onProgress?.({
        step: `push ${short}`,
        message,
        done,
        total: blob.size,
        unit: "bytes",
      });
    report(0, `Pushing ${short}`);
    if (await this.#has(blob.digest)) {
      report(blob.size, `${short} is there already`);
      return;
    }
    const place = withDigest(await this.#startUpload(), blob.digest);
    await this.#upload(blob, place, (done) => report(done, `Pushing ${short}`));
  }

  async manifest({ bytes, mediaType }: PushOptions["manifest"]): Promise<void> {
    using watchdog = this.#watch();
    const { signal } = watchdog;
    const url = this.#urlOf(`manifests/${this.#reference.tag ?? "latest"}`);
    const headers = { "content-type": mediaType };
    const answer = await this.#authorizer.send({
      url,
      method: "PUT",
      headers,
      body: bytes,
      signal,
    });
    await discard(await this.#expect(answer, STORED));
  }

  async #has(digest: Digest): Promise<boolean> {
    const response = await askHead({
      url: this.#urlOf(`blobs/${digest}`),
      send: (request) => this.#authorizer.send(request),
      stallTimeout_ms: this.#stallTimeout_ms,
      signal: this.#options.signal,
    });
    return response.ok;
  }

  async #startUpload(): Promise<URL> {
    using watchdog = this.#watch();
    const { signal } = watchdog;
    const url = this.#urlOf("blobs/uploads/");
    const answer = await this.#followRedirect((at) => ({ url: at, method: "POST", signal }), url);
    const response = await this.#expect(answer, [200, 202, 204]);
    await discard(response);
    return this.#placeOf(response.headers.get("location"), url);
  }

  async #upload(blob: PushedBlob, place: URL, onSent: (done: number) => void): Promise<void> {
    using watchdog = this.#watch();
    const { signal } = watchdog;
    const headers = {
      "content-type": "application/octet-stream",
      "content-length": String(blob.size),
    };
    const request = (url: URL): Request => {
      let sent = 0;
      const body = countBytes(blob.read(signal), (done) => {
        watchdog.progress(done - sent);
        sent = done;
        onSent(done);
      });
      return { url, method: "PUT", headers, body: toStream(body), signal };
    };
    try {
      await discard(await this.#expect(await this.#followRedirect(request, place), STORED));
    } catch (error) {
      throw networkFailure(error, place, signal);
    }
  }

  /** Follows a redirect of a request with a body, which fetch does not. */
  async #followRedirect(request: (url: URL) => Request, start: URL): Promise<Answer> {
    let url = start;
    for (let hop = 0; hop < REDIRECTS_MAX; hop++) {
      const answer = await this.#sendTo(request(url));
      const { status, headers } = answer.response;
      const location = headers.get("location");
      if (![307, 308].includes(status) || location === null) return answer;
      await discard(answer.response);
      url = this.#placeOf(location, url);
    }
    throw this.#noPlace();
  }

  /** An upload may be redirected to another host, which gets no credentials. */
  #sendTo(request: Request): Promise<Answer> {
    const { base } = this.#endpoint;
    if (request.url.origin === base.origin) return this.#authorizer.send(request);
    return send({ ...request, home: base, trusted: this.#options.insecureRegistries });
  }

  async #expect({ response }: Answer, statuses: readonly number[]): Promise<Response> {
    if (statuses.includes(response.status)) return response;
    throw await statusFailure(response, {
      action: `push ${this.#name}`,
      host: this.#endpoint.host,
      hint: [401, 403].includes(response.status) ? this.#authorizer.hint() : undefined,
    });
  }

  #placeOf(location: string | null, asked: URL): URL {
    const place = uploadUrl(location, { asked, base: this.#endpoint.base });
    if (!place) throw this.#noPlace();
    return place;
  }

  #noPlace(): TransferError {
    return new TransferError(
      "unavailable",
      `Cannot push ${this.#name}: "${this.#endpoint.host}" sent no upload location`,
    );
  }

  #urlOf(path: string): URL {
    return new URL(`${this.#reference.repository}/${path}`, this.#endpoint.base);
  }

  #watch(): Watchdog {
    return startWatchdog({
      what: `from "${this.#endpoint.host}"`,
      timeout_ms: this.#stallTimeout_ms,
      signal: this.#options.signal,
    });
  }

  get #stallTimeout_ms(): number {
    return this.#options.stallTimeout_ms ?? STALL_TIMEOUT_DEFAULT_MS;
  }
}

/**
 * Parses the Location of a registry: absolute, relative, without a scheme, or plain HTTP behind a TLS-terminating
 * proxy. Undefined if invalid.
 */
export function uploadUrl(
  location: string | null,
  { asked, base }: { asked: URL; base: URL },
): URL | undefined {
  const text = location?.startsWith(`${base.host}/`) ? `${base.protocol}//${location}` : location;
  const url = text !== null && URL.canParse(text, asked) ? new URL(text, asked) : undefined;
  if (!url || !["http:", "https:"].includes(url.protocol)) return undefined;
  if (base.protocol === "https:" && url.protocol === "http:") {
    if (url.hostname !== base.hostname) return undefined;
    url.protocol = "https:";
    url.port = base.port;
  }
  url.hash = "";
  url.username = "";
  url.password = "";
  return url;
}

/** The rest of the query is unchanged, since the registry may have signed it. */
function withDigest(place: URL, digest: Digest): URL {
  const url = new URL(place);
  const kept = url.search
    .slice(1)
    .split("&")
    .filter((part) => part !== "" && !part.startsWith("digest="));
  url.search = [...kept, `digest=${digest}`].join("&");
  return url;
}

function toStream(chunks: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = await iterator.next();
      if (next.done) controller.close();
      else controller.enqueue(next.value);
    },
    async cancel() {
      await iterator.return?.();
    },
  });
}
