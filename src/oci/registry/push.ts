/** The push half of the OCI distribution specification 1.1: blobs that are missing there, then the manifest. */
import { type Digest, shortDigest } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import type { OnProgress } from "#base/progress.ts";
import { discard } from "#http/body.ts";
import { statusFailure, TransferError } from "#http/failure.ts";
import { withRetries } from "#http/retry.ts";
import { type Answer, networkFailure, type Request, send } from "#http/transport.ts";
import { startWatchdog, type Watchdog } from "#http/watchdog.ts";
import { counted } from "#oci/image.ts";
import { canonicalName, type Reference } from "#oci/reference.ts";
import { createAuthorizer } from "./auth.ts";
import type { RegistryOptions } from "./client.ts";
import { endpointsOf } from "./endpoint.ts";

/** A registry may hash a whole layer again before it answers. */
const STALL_TIMEOUT_DEFAULT_MS = 120_000;
const REDIRECTS_MAX = 5;
/** The specification says 201; some registries answer with another success. */
const STORED: readonly number[] = [200, 201, 204];

export interface PushedBlob {
  digest: Digest;
  size: number;
  /** The bytes from the start; called once for each attempt. */
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
 * Mirrors are not asked: what is pushed goes to the registry itself. Errors: `invalid_argument` for a
 * reference by digest, `unauthorized`, `not_found`, `unavailable`, `cancelled`.
 */
export async function pushToRegistry(reference: Reference, options: PushOptions): Promise<void> {
  const name = canonicalName(reference);
  if (reference.digest !== undefined) {
    throw new BangerError("invalid_argument", `Cannot push to ${name}: it is named by a digest`, {
      hint: 'Name a tag: "registry.example/team/name:tag"',
    });
  }
  const server = openServer(reference, options);
  for (const blob of options.blobs) {
    await withRetries(() => server.pushBlob(blob), server.retry);
  }
  await withRetries(() => server.pushManifest(options.manifest), server.retry);
}

function openServer(reference: Reference, options: PushOptions) {
  const name = canonicalName(reference);
  const { repository } = reference;
  const [endpoint] = endpointsOf(reference.registry, { ...options, mirrors: {} });
  if (!endpoint) throw new Error("Assertion failed: a registry has a server");
  const { base, host } = endpoint;
  const authorizer = createAuthorizer(endpoint, {
    repository,
    actions: "pull,push",
    dockerConfigPath: options.dockerConfigPath,
    insecureRegistries: options.insecureRegistries,
  });
  const never = new AbortController().signal;
  const outer = options.signal ?? never;

  function watch(): Watchdog {
    const timeout_ms = options.stallTimeout_ms ?? STALL_TIMEOUT_DEFAULT_MS;
    return startWatchdog(timeout_ms, { what: `from "${host}"`, signal: outer });
  }

  /** Where a registry sends an upload to may be another host, which gets no credentials. */
  function sendTo(request: Request): Promise<Answer> {
    if (request.url.origin === base.origin) return authorizer.send(request);
    return send({ ...request, home: base, trusted: options.insecureRegistries });
  }

  /** Follows what fetch does not follow with a body: the same request, sent elsewhere. */
  async function sendOn(request: (url: URL) => Request, start: URL): Promise<Answer> {
    let url = start;
    for (let hop = 0; hop < REDIRECTS_MAX; hop++) {
      const answer = await sendTo(request(url));
      const { status, headers } = answer.response;
      const location = headers.get("location");
      if (![307, 308].includes(status) || location === null) return answer;
      await discard(answer.response);
      url = placeOf(location, url);
    }
    throw noPlace();
  }

  function placeOf(location: string | null, asked: URL): URL {
    const place = uploadPlace(location, { asked, base });
    if (!place) throw noPlace();
    return place;
  }

  function noPlace(): TransferError {
    return new TransferError(
      "unavailable",
      `Cannot push ${name}: "${host}" names no place for the upload`,
    );
  }

  async function expect(answer: Answer, statuses: readonly number[]): Promise<Response> {
    const { response } = answer;
    if (statuses.includes(response.status)) return response;
    throw await statusFailure(response, {
      action: `push ${name}`,
      host,
      hint: [401, 403].includes(response.status) ? authorizer.hint() : undefined,
    });
  }

  async function has(digest: Digest): Promise<boolean> {
    using watchdog = watch();
    const url = new URL(`${repository}/blobs/${digest}`, base);
    const { response } = await authorizer.send({ url, method: "HEAD", signal: watchdog.signal });
    await discard(response);
    return response.ok;
  }

  async function startUpload(): Promise<URL> {
    using watchdog = watch();
    const { signal } = watchdog;
    const url = new URL(`${repository}/blobs/uploads/`, base);
    const answer = await sendOn((at) => ({ url: at, method: "POST", signal }), url);
    const response = await expect(answer, [200, 202, 204]);
    await discard(response);
    return placeOf(response.headers.get("location"), url);
  }

  return {
    retry: { signal: outer, delay_ms: options.retryDelay_ms },
    async pushBlob(blob: PushedBlob): Promise<void> {
      const step = `push ${shortDigest(blob.digest)}`;
      const report = (done: number, message: string): void =>
        options.onProgress?.({ step, message, done, total: blob.size, unit: "bytes" });
      report(0, `Pushing ${shortDigest(blob.digest)}`);
      if (await has(blob.digest)) {
        report(blob.size, `${shortDigest(blob.digest)} is there already`);
        return;
      }
      const url = withDigest(await startUpload(), blob.digest);
      using watchdog = watch();
      const { signal } = watchdog;
      function request(at: URL): Request {
        let sent = 0;
        const body = toStream(
          counted(blob.read(signal), (done) => {
            watchdog.progress(done - sent);
            sent = done;
            report(done, `Pushing ${shortDigest(blob.digest)}`);
          }),
        );
        const headers = {
          "content-type": "application/octet-stream",
          "content-length": String(blob.size),
        };
        return { url: at, method: "PUT", headers, body, signal };
      }
      try {
        await discard(await expect(await sendOn(request, url), STORED));
      } catch (error) {
        throw networkFailure(error, url, watchdog.signal);
      }
    },
    async pushManifest({ bytes, mediaType }: PushOptions["manifest"]): Promise<void> {
      using watchdog = watch();
      const url = new URL(`${repository}/manifests/${reference.tag ?? "latest"}`, base);
      const headers = { "content-type": mediaType };
      const answer = await authorizer.send({
        url,
        method: "PUT",
        headers,
        body: bytes,
        signal: watchdog.signal,
      });
      await discard(await expect(answer, STORED));
    },
  };
}

/**
 * A Location as registries write it: absolute, relative, without a scheme, or as plain HTTP behind a proxy that ends
 * TLS. Undefined for what is no such place.
 */
export function uploadPlace(
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

/** The rest of the query stays as the registry wrote it, since it may have signed that. */
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
