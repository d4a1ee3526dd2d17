/** Files that ADD takes from an address. */
import { closeSync, openSync, writeSync } from "node:fs";
import { join, posix } from "node:path";
import { BangerError } from "#base/error.ts";
import { readChunks } from "#base/files/chunks.ts";
import type { WorkOptions } from "#base/progress.ts";
import { formatSize, GiB } from "#base/size.ts";
import { statusFailure } from "#http/failure.ts";
import { withRetries } from "#http/retry.ts";
import { networkFailure, send } from "#http/transport.ts";
import { startWatchdog } from "#http/watchdog.ts";
import { checkSource } from "./reach.ts";
import { pathOf, type SourceFile } from "./source.ts";

const DOWNLOAD_MAX_BYTES = 8 * GiB;
const STALL_TIMEOUT_MS = 30_000;
const MODE = 0o600;

export interface DownloadOptions extends WorkOptions {
  folder: string;
  /** "sha256:…": what it must be. */
  checksum: string | undefined;
}

/** `integrity` when it is not what `checksum` says; `unavailable`, `not_found`, `limit_exceeded`. */
export async function download(
  address: string,
  options: DownloadOptions,
): Promise<{ name: string; file: SourceFile }> {
  const url = new URL(address);
  const signal = options.signal ?? new AbortController().signal;
  const name = nameOf(url);
  const path = join(options.folder, `${crypto.randomUUID()}.download`);
  const got = await withRetries(() => fetchOnce(url, { ...options, path, signal }), { signal });
  if (options.checksum && got.digest !== options.checksum) {
    throw new BangerError(
      "integrity",
      `${address} is not what --checksum says: it is ${got.digest}`,
    );
  }
  const said = { mode: MODE, uid: 0, gid: 0, mtime_s: got.mtime_s, mtime_ns: 0 };
  const rest = { major: 0, minor: 0, xattrs: [], target: "", size: got.size };
  const file = { type: "file", ...said, ...rest, data: () => readChunks(path) } as const;
  return { name: pathOf(name), file };
}

/** Of the last part of the path, as BuildKit. */
function nameOf(url: URL): string {
  let name = "";
  try {
    name = posix.basename(decodeURIComponent(url.pathname));
  } catch {
    // It is no UTF-8.
  }
  return name === "" || name === "." || name === ".." ? "__unnamed__" : name;
}

async function fetchOnce(
  url: URL,
  options: DownloadOptions & { path: string; signal: AbortSignal },
): Promise<{ size: number; digest: string; mtime_s: number }> {
  const what = `from "${url.host}"`;
  using watchdog = startWatchdog(STALL_TIMEOUT_MS, { what, signal: options.signal });
  const address = await checkSource(url);
  const { response } = await send({ url, address, signal: watchdog.signal });
  if (response.status !== 200 || !response.body) {
    throw await statusFailure(response, { action: `fetch ${url.href}`, host: url.host });
  }
  const hasher = new Bun.CryptoHasher("sha256");
  const fd = openSync(options.path, "w", 0o600);
  let size = 0;
  try {
    for await (const chunk of response.body) {
      watchdog.progress(chunk.length);
      size += chunk.length;
      if (size > DOWNLOAD_MAX_BYTES) {
        const max = formatSize(DOWNLOAD_MAX_BYTES);
        throw new BangerError("limit_exceeded", `${url.href} is larger than ${max}`);
      }
      hasher.update(chunk);
      for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
    }
  } catch (error) {
    throw error instanceof BangerError ? error : networkFailure(error, url, watchdog.signal);
  } finally {
    closeSync(fd);
  }
  const modified = Date.parse(response.headers.get("last-modified") ?? "");
  const mtime_s = Number.isNaN(modified) ? 0 : Math.floor(modified / 1000);
  return { size, digest: `sha256:${hasher.digest("hex")}`, mtime_s };
}
