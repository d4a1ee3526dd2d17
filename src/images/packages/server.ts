/**
 * Requests to package servers that an image names. Servers that a machine could not reach are refused, also as the
 * target of a redirect: the host's own loopback, link-local addresses, and what clouds tell a host about itself.
 */
import { BangerError } from "#base/error.ts";
import type { BlobStore } from "#blobs/blobs.ts";
import type { OnAdvance } from "#blobs/download.ts";
import type { Expected } from "#blobs/verify.ts";
import { type FileRequest, readRange, readSmall } from "#http/download.ts";
import { TransferError } from "#http/failure.ts";
import { addressesOf, isListed, isLocalhost, reachOf } from "#http/reach.ts";
import { withRetries } from "#http/retry.ts";
import { send } from "#http/transport.ts";

const CLOSED = ["loopback", "link-local"];
/** Some server of the internet, which cannot redirect into a private network. */
const PUBLIC_HOME = new URL("http://192.0.2.1/");

/** A machine waits meanwhile, and can download its packages itself. */
const STALL_TIMEOUT_MS = 15_000;
const STALLS_MAX = 1;

export interface PackageServers {
  /** "HOST:PORT" of servers that may be asked wherever they are; for tests. */
  trusted?: readonly string[] | undefined;
  signal: AbortSignal;
  /** How often one of them was silent for too long. */
  stalls: { count: number; timeout_ms?: number | undefined };
}

/** A small file; undefined if the server does not have it. */
export async function readFrom(
  url: URL,
  max_bytes: number,
  servers: PackageServers,
): Promise<Uint8Array | undefined> {
  try {
    const request = { ...(await requestTo(url, servers)), max_bytes };
    const read = () => readSmall(request).catch((error) => Promise.reject(stalled(error, servers)));
    return (await withRetries(read, servers)).bytes;
  } catch (error) {
    if (error instanceof BangerError && error.code === "not_found") return undefined;
    throw error;
  }
}

/** Downloads a file of known size and digest into the blob cache, unless it is there. */
export async function fetchBlob(
  store: BlobStore,
  blob: Expected,
  options: { url: URL; servers: PackageServers; onAdvance: OnAdvance },
): Promise<void> {
  const { url, servers, onAdvance } = options;
  const wrongSize = (actual_bytes: number): BangerError =>
    new BangerError(
      "integrity",
      `Cannot download "${url.href}": ${actual_bytes} bytes instead of ${blob.size}`,
    );
  const expected = { size: blob.size, wrongSize };
  async function* getBlob(_: Expected, part: { offset: number; signal: AbortSignal }) {
    const { offset, signal } = part;
    try {
      yield* readRange({ ...(await requestTo(url, { ...servers, signal })), offset, expected });
    } catch (error) {
      throw stalled(error, servers);
    }
  }
  await store.prefetch(blob, { source: { getBlob }, signal: servers.signal, onAdvance });
}

/** After the last stall that is put up with, an error that nobody retries. */
function stalled(error: unknown, { stalls }: PackageServers): unknown {
  if (!(error instanceof TransferError) || error.code !== "timeout") return error;
  stalls.count++;
  return stalls.count > STALLS_MAX ? new BangerError("timeout", error.message) : error;
}

async function requestTo(url: URL, servers: PackageServers): Promise<FileRequest> {
  const { trusted = [], signal, stalls } = servers;
  const isTrusted = isListed(url, trusted);
  const addresses = isTrusted ? [] : await addressesOf(url);
  const reaches = isLocalhost(url) && !isTrusted ? ["loopback"] : addresses.map(reachOf);
  if (reaches.some((reach) => CLOSED.includes(reach))) {
    throw new BangerError(
      "permission_denied",
      `Cannot reach "${url.host}": it is on the host itself or link-local`,
    );
  }
  const home = reaches.includes("private") ? url : PUBLIC_HOME;
  return {
    url,
    action: `download "${url.href}"`,
    // The name means the same in the request as in the check.
    address: url.protocol === "http:" ? addresses[0] : undefined,
    signal,
    stallTimeout_ms: stalls.timeout_ms ?? STALL_TIMEOUT_MS,
    send: (request) => send({ ...request, home, trusted }),
  };
}
