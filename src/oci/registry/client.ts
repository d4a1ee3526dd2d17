/** Client for one repository of a registry: the pull half of the OCI distribution specification 1.1. */

import { getLogger } from "@logtape/logtape";
import { type Digest, isDigest, sha256, shortDigest } from "#base/digest.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { type Expected, tooLong, tooShort } from "#blobs/verify.ts";
import { decodedBlob, discard, readCapped } from "#http/body.ts";
import { statusFailure, TransferError } from "#http/failure.ts";
import { withRetries } from "#http/retry.ts";
import { type Answer, networkFailure } from "#http/transport.ts";
import { startWatchdog, type Watchdog } from "#http/watchdog.ts";
import { MAX_MANIFEST_BYTES } from "#oci/manifest.ts";
import { indexTypes, manifestTypes } from "#oci/media.ts";
import { canonicalName, type Reference } from "#oci/reference.ts";
import { type Authorizer, createAuthorizer } from "./auth.ts";
import { type Endpoint, type EndpointOptions, endpointsOf } from "./endpoint.ts";

const STALL_TIMEOUT_DEFAULT_MS = 30_000;
const log = getLogger(["banger", "oci"]);

export interface RegistryOptions extends EndpointOptions {
  /** docker's config.json, for logins. */
  dockerConfigPath?: string | undefined;
  /** How long a server may be silent before the transfer is cut and tried again. Default 30,000. */
  stallTimeout_ms?: number | undefined;
  /** Wait before the second attempt of a request. Default 250. */
  retryDelay_ms?: number | undefined;
}

export interface RemoteManifest {
  bytes: Uint8Array;
  digest: Digest;
  /** Content-Type of the answer. */
  mediaType: string;
}

export interface Repository {
  /** What the tag or digest points at now, without transferring it; undefined if the registry does not say. */
  headManifest(target: string, signal: AbortSignal): Promise<Digest | undefined>;
  /** `target`: a tag or a digest. The bytes match the digest. */
  getManifest(target: string, signal: AbortSignal): Promise<RemoteManifest>;
  /**
   * One attempt to read a blob from `offset` on. Ends with a TransferError when it is cut.
   * Not verified: the bytes of several attempts make the blob.
   */
  getBlob(blob: Expected, options: BlobOptions): AsyncIterable<Uint8Array>;
}

export interface BlobOptions {
  /** Bytes of the blob that the caller has already. */
  offset: number;
  signal: AbortSignal;
}

interface Server extends Endpoint {
  authorizer: Authorizer;
}

/** Opens no connection yet. */
export function openRepository(reference: Reference, options: RegistryOptions = {}): Repository {
  const { repository } = reference;
  const name = canonicalName(reference);
  const { dockerConfigPath, insecureRegistries, retryDelay_ms: delay_ms } = options;
  const servers = endpointsOf(reference.registry, options).map((endpoint) => ({
    ...endpoint,
    authorizer: createAuthorizer(endpoint, { repository, dockerConfigPath, insecureRegistries }),
  }));
  /** Mirrors that could not be reached: they are not waited for again. What one does not have, says nothing of the rest. */
  const unreachable = new Set<Server>();

  async function fromAnyServer<T>(
    ask: (server: Server) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    for (const server of servers) {
      const isLast = server === servers.at(-1);
      if (unreachable.has(server) && !isLast) continue;
      try {
        return await ask(server);
      } catch (error) {
        if (isLast || signal.aborted) throw error;
        if (isOutOfReach(error)) unreachable.add(server);
        log.warn("Cannot use mirror {mirror} for {name}, asking the next server: {problem}", {
          mirror: server.host,
          name,
          problem: messageOf(error),
        });
      }
    }
    throw new Error("Assertion failed: a registry has a last server");
  }

  function retried<T>(ask: (server: Server) => Promise<T>, signal: AbortSignal): Promise<T> {
    return withRetries(() => fromAnyServer(ask, signal), { signal, delay_ms });
  }

  function watch(server: Server, signal: AbortSignal): Watchdog {
    const timeout_ms = options.stallTimeout_ms ?? STALL_TIMEOUT_DEFAULT_MS;
    return startWatchdog(timeout_ms, { what: `from "${server.host}"`, signal });
  }

  return {
    headManifest(target, signal) {
      return retried(async (server) => {
        using watchdog = watch(server, signal);
        const { response } = await askManifest(server, {
          method: "HEAD",
          target,
          repository,
          watchdog,
        });
        await discard(response);
        const digest = response.headers.get("docker-content-digest") ?? "";
        return response.ok && isDigest(digest) ? digest : undefined;
      }, signal);
    },
    getManifest(target, signal) {
      return retried(async (server) => {
        using watchdog = watch(server, signal);
        const { response } = await askManifest(server, {
          method: "GET",
          target,
          repository,
          watchdog,
        });
        if (!response.ok) throw await refusal(response, { name, server });
        const bytes = await readManifest(response, server, watchdog.signal);
        const digest = checkManifest(bytes, { target, name, response });
        return { bytes, digest, mediaType: response.headers.get("content-type") ?? "" };
      }, signal);
    },
    async *getBlob(blob, { offset, signal }) {
      const { chunks, watchdog, url } = await fromAnyServer(async (server) => {
        const guard = watch(server, signal);
        try {
          const url = new URL(`${repository}/blobs/${blob.digest}`, server.base);
          const answer = await askBlob(server, { url, offset, signal: guard.signal });
          guard.progress(Number.POSITIVE_INFINITY);
          const chunks = await openBody(answer, { blob, offset, name, server });
          return { chunks, watchdog: guard, url };
        } catch (error) {
          guard[Symbol.dispose]();
          throw error;
        }
      }, signal);
      using guard = watchdog;
      try {
        for await (const chunk of chunks) {
          guard.progress(chunk.length);
          yield chunk;
        }
      } catch (error) {
        throw networkFailure(error, url, guard.signal);
      }
    },
  };
}

/** A server that has been cut and refuses the part that is missing is asked for the whole. */
async function askBlob(
  { authorizer }: Server,
  { url, offset, signal }: { url: URL; offset: number; signal: AbortSignal },
): Promise<Answer> {
  if (offset === 0) return await authorizer.send({ url, signal });
  const answer = await authorizer.send({ url, headers: { range: `bytes=${offset}-` }, signal });
  if (answer.response.status !== 416) return answer;
  await discard(answer.response);
  return await authorizer.send({ url, signal });
}

function isOutOfReach(error: unknown): boolean {
  return error instanceof TransferError && (error.isUnreachable || error.code === "timeout");
}

function askManifest(
  server: Server,
  options: { method: "GET" | "HEAD"; target: string; repository: string; watchdog: Watchdog },
): Promise<Answer> {
  const { method, target, repository, watchdog } = options;
  const url = new URL(`${repository}/manifests/${target}`, server.base);
  const headers = { accept: [...indexTypes, ...manifestTypes].join(", ") };
  return server.authorizer.send({ url, method, headers, signal: watchdog.signal });
}

async function readManifest(
  response: Response,
  server: Server,
  signal: AbortSignal,
): Promise<Uint8Array> {
  try {
    return await readCapped(response, MAX_MANIFEST_BYTES);
  } catch (error) {
    throw networkFailure(error, server.base, signal);
  }
}

function checkManifest(
  bytes: Uint8Array,
  options: { target: string; name: string; response: Response },
): Digest {
  const { target, name, response } = options;
  const actual = sha256(bytes);
  const claimed = response.headers.get("docker-content-digest") ?? "";
  const expected = isDigest(target) ? target : isDigest(claimed) ? claimed : actual;
  if (actual === expected) return actual;
  throw new BangerError(
    "integrity",
    `Cannot pull ${name}: the manifest hashes to ${actual} where ${expected} was expected`,
  );
}

/** The bytes from `offset` on, from a server that heeds Range and from one that does not. */
async function openBody(
  { response }: Answer,
  options: { blob: Expected; offset: number; name: string; server: Server },
): Promise<AsyncIterable<Uint8Array>> {
  const { blob, offset, name, server } = options;
  if (response.status !== 200 && response.status !== 206) {
    throw await refusal(response, { name, server });
  }
  const isPart = response.status === 206;
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
  if (isPart && Number(range?.[1]) !== offset) {
    await discard(response);
    throw new TransferError(
      "unavailable",
      `Cannot pull ${name}: "${server.host}" sends another part of blob ${shortDigest(blob.digest)} than was asked for`,
    );
  }
  const encoded = isPart ? undefined : decodedBlob(response, blob.size);
  if (encoded) return skipBytes(encoded, offset);
  const total = isPart ? range?.[2] : response.headers.get("content-length");
  const total_bytes = total && total !== "*" ? Number(total) : blob.size;
  if (total_bytes !== blob.size) {
    await discard(response);
    throw total_bytes > blob.size ? tooLong(blob) : tooShort(blob, total_bytes);
  }
  const body = response.body ?? new Blob([]).stream();
  return isPart ? body : skipBytes(body, offset);
}

async function* skipBytes(
  stream: AsyncIterable<Uint8Array>,
  count: number,
): AsyncGenerator<Uint8Array> {
  let left = count;
  for await (const chunk of stream) {
    const skipped = Math.min(left, chunk.length);
    left -= skipped;
    if (skipped < chunk.length) yield chunk.subarray(skipped);
  }
}

function refusal(
  response: Response,
  options: { name: string; server: Server },
): Promise<TransferError> {
  const { name, server } = options;
  const { status } = response;
  const hint =
    status === 401 || status === 403
      ? server.authorizer.hint()
      : status === 404
        ? "Check the name and the tag"
        : undefined;
  return statusFailure(response, {
    action: `pull ${name}`,
    host: server.host,
    hint,
  });
}
