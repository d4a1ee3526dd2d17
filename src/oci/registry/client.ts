/** Client for one repository of a registry: the pull half of the OCI distribution specification 1.1. */

import { getLogger } from "@logtape/logtape";
import { assert } from "#base/assert.ts";
import { type Digest, isDigest, sha256 } from "#base/digest.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { type Expected, tooLong, tooShort } from "#blobs/verify.ts";
import { askHead, type FileRequest, fromOffset, openRange, readSmall } from "#http/download.ts";
import { statusFailure, TransferError } from "#http/failure.ts";
import { withRetries } from "#http/retry.ts";
import { MAX_MANIFEST_BYTES } from "#oci/manifest.ts";
import { indexTypes, manifestTypes } from "#oci/media.ts";
import { canonicalName, type Reference } from "#oci/reference.ts";
import { type Authorizer, createAuthorizer } from "./auth.ts";
import { type Endpoint, type EndpointOptions, endpointsOf } from "./endpoint.ts";

const log = getLogger(["banger", "oci"]);

export interface RegistryOptions extends EndpointOptions {
  /** docker's config.json, for logins. */
  dockerConfigPath?: string | undefined;
  /** Stall timeout, after which the transfer is retried. Default 30,000. */
  stallTimeout_ms?: number | undefined;
  /** Wait before the second attempt of a request. Default 250. */
  retryDelay_ms?: number | undefined;
}

export interface RemoteManifest {
  bytes: Uint8Array;
  digest: Digest;
  /** Content-Type of the response. */
  mediaType: string;
}

export interface Repository {
  /** Digest of a tag's current manifest, by a HEAD request; undefined if the registry does not send it. */
  headManifest(target: string, signal: AbortSignal): Promise<Digest | undefined>;
  /** `target`: a tag or a digest. The bytes match the digest. */
  getManifest(target: string, signal: AbortSignal): Promise<RemoteManifest>;
  /**
   * One attempt to read a blob from `offset`. Throws a TransferError if interrupted. Not verified: a blob may take
   * several attempts.
   */
  getBlob(blob: Expected, options: BlobOptions): AsyncIterable<Uint8Array>;
}

export interface BlobOptions {
  /** Number of bytes that the caller already has. */
  offset: number;
  signal: AbortSignal;
}

interface Server extends Endpoint {
  authorizer: Authorizer;
}

/** Does not connect yet. */
export function openRepository(reference: Reference, options: RegistryOptions = {}): Repository {
  return new RegistryRepository(reference, options);
}

class RegistryRepository implements Repository {
  readonly #repository: string;
  readonly #name: string;
  readonly #options: RegistryOptions;
  readonly #servers: readonly Server[];
  /** Unreachable mirrors, which are not tried again. A mirror that lacks one blob may have others. */
  readonly #unreachable = new Set<Server>();

  constructor(reference: Reference, options: RegistryOptions) {
    const { repository } = reference;
    const { dockerConfigPath, insecureRegistries } = options;
    this.#repository = repository;
    this.#name = canonicalName(reference);
    this.#options = options;
    this.#servers = endpointsOf(reference.registry, options).map((endpoint) => ({
      ...endpoint,
      authorizer: createAuthorizer(endpoint, { repository, dockerConfigPath, insecureRegistries }),
    }));
  }

  headManifest(target: string, signal: AbortSignal): Promise<Digest | undefined> {
    return this.#retried(async (server) => {
      const response = await askHead(this.#manifestRequest(server, target, signal));
      const digest = response.headers.get("docker-content-digest") ?? "";
      return response.ok && isDigest(digest) ? digest : undefined;
    }, signal);
  }

  getManifest(target: string, signal: AbortSignal): Promise<RemoteManifest> {
    return this.#retried(async (server) => {
      const { response, bytes } = await readSmall({
        ...this.#manifestRequest(server, target, signal),
        max_bytes: MAX_MANIFEST_BYTES,
      });
      const digest = checkManifest(bytes, { target, name: this.#name, response });
      return { bytes, digest, mediaType: response.headers.get("content-type") ?? "" };
    }, signal);
  }

  async *getBlob(blob: Expected, { offset, signal }: BlobOptions): AsyncGenerator<Uint8Array> {
    const wrongSize = (actual_bytes: number): BangerError =>
      actual_bytes > blob.size ? tooLong(blob) : tooShort(blob, actual_bytes);
    const opened = await this.#fromAnyServer(
      (server) =>
        openRange({
          ...this.#request(server, `blobs/${blob.digest}`, signal),
          expected: { size: blob.size, wrongSize },
          offset,
        }),
      signal,
    );
    yield* fromOffset(opened, offset);
  }

  #manifestRequest(server: Server, target: string, signal: AbortSignal): FileRequest {
    const headers = { accept: [...indexTypes, ...manifestTypes].join(", ") };
    return { ...this.#request(server, `manifests/${target}`, signal), headers };
  }

  #request(server: Server, path: string, signal: AbortSignal): FileRequest {
    return {
      url: new URL(`${this.#repository}/${path}`, server.base),
      action: `pull ${this.#name}`,
      stallTimeout_ms: this.#options.stallTimeout_ms,
      send: (request) => server.authorizer.send(request),
      refusal: (response) => this.#refusal(server, response),
      signal,
    };
  }

  #retried<T>(ask: (server: Server) => Promise<T>, signal: AbortSignal): Promise<T> {
    const delay_ms = this.#options.retryDelay_ms;
    return withRetries(() => this.#fromAnyServer(ask, signal), { signal, delay_ms });
  }

  async #fromAnyServer<T>(ask: (server: Server) => Promise<T>, signal: AbortSignal): Promise<T> {
    const last = this.#servers.at(-1);
    assert(last, "a registry has a server");
    for (const server of this.#servers.slice(0, -1)) {
      if (this.#unreachable.has(server)) continue;
      try {
        return await ask(server);
      } catch (error) {
        if (signal.aborted) throw error;
        if (isOutOfReach(error)) this.#unreachable.add(server);
        log.warn("Cannot use mirror {mirror} for {name}, asking the next server: {problem}", {
          mirror: server.host,
          name: this.#name,
          problem: messageOf(error),
        });
      }
    }
    return await ask(last);
  }

  #refusal({ authorizer, host }: Server, response: Response): Promise<TransferError> {
    const { status } = response;
    const ofStatus = status === 404 ? "Check the name and the tag" : undefined;
    const hint = status === 401 || status === 403 ? authorizer.hint() : ofStatus;
    return statusFailure(response, { action: `pull ${this.#name}`, host, hint });
  }
}

function isOutOfReach(error: unknown): boolean {
  return error instanceof TransferError && (error.isUnreachable || error.code === "timeout");
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
    `Cannot pull ${name}: manifest digest mismatch, expected ${expected}, got ${actual}`,
  );
}
