/**
 * A copy of the signed indexes that an image's sources name, as a directory that apt reads in place of the servers.
 * Nothing in it is trusted here: apt checks the signatures, and the digests under them.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Digest, hexOf, isDigest } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { copyHashed } from "#base/files/copy-file.ts";
import { assertRoom } from "#base/files/free-space.ts";
import { MiB } from "#base/size.ts";
import { BlobStore } from "#blobs/blobs.ts";
import { fetchBlob, type PackageServers, readFrom } from "./server.ts";
import type { AptSource } from "./sources.ts";

const RELEASE_MAX_BYTES = 8 * MiB;
const INDEX_MAX_BYTES = 128 * MiB;
const INDEXES_MAX = 64;
/** Best first. */
const EXTENSIONS = [".xz", ".gz", ""];

export interface MirrorOptions {
  servers: PackageServers;
  /** Of the blob cache. */
  cache: string;
  architectures: readonly string[];
  /** Of all sources of the image: what is downloaded before a signature is checked. */
  budget: { left_bytes: number };
  onAdvance: (progress: { done_bytes: number; total_bytes: number }) => void;
}

interface WantedFile {
  /** In turn: under its digest, which is the same file while the archive changes, and under its name. */
  urls: URL[];
  path: string;
  digest: Digest;
  size: number;
}

/** Fetches the indexes of `source` to `folder`; those that the cache has are not downloaded again. */
export async function mirrorSource(
  source: AptSource,
  folder: string,
  options: MirrorOptions,
): Promise<void> {
  const place = distPath(source.suite);
  const read = async (name: string): Promise<Buffer | undefined> => {
    const url = new URL(place + name, source.base);
    const bytes = await readFrom(url, RELEASE_MAX_BYTES, options.servers);
    if (!bytes) return undefined;
    spend(bytes.length, options);
    put(join(folder, place, name), bytes);
    return Buffer.from(bytes);
  };
  let release = await read("InRelease");
  if (!release) {
    release = await read("Release");
    if (!release || !(await read("Release.gpg"))) {
      throw new BangerError("not_found", `no signed index at ${new URL(place, source.base).href}`);
    }
  }
  const text = release.toString();
  const isByHash = /^Acquire-By-Hash:\s*yes\b/m.test(text);
  const wanted = indexesOf(source, text, options.architectures).map((file) => {
    const byHash = `${dirname(file.path)}/by-hash/SHA256/${hexOf(file.digest)}`;
    const names = [...(isByHash ? [byHash] : []), file.path];
    return { ...file, urls: names.map((name) => new URL(place + name, source.base)) };
  });
  await fetchAll(wanted, join(folder, place), options);
}

async function fetchAll(
  wanted: readonly WantedFile[],
  folder: string,
  options: MirrorOptions,
): Promise<void> {
  const { servers, cache, onAdvance } = options;
  const total_bytes = wanted.reduce((sum, { size }) => sum + size, 0);
  spend(total_bytes, options);
  assertRoom(folder, total_bytes, "Cannot copy the package lists");
  const store = new BlobStore(cache);
  let before = 0;
  for (const { urls, path, digest, size } of wanted) {
    const onDone = (done: number): void => onAdvance({ done_bytes: before + done, total_bytes });
    const [first, second] = urls;
    const fetchFrom = (url: URL): Promise<void> =>
      fetchBlob(store, { digest, size }, { url, servers, onAdvance: onDone });
    if (!first) continue;
    await fetchFrom(first).catch((error: unknown) => {
      if (!second || !(error instanceof BangerError) || error.code !== "not_found") throw error;
      return fetchFrom(second);
    });
    before += size;
    const target = join(folder, path);
    mkdirSync(dirname(target), { recursive: true });
    await copyHashed(join(cache, "sha256", hexOf(digest)), target, servers);
  }
}

function spend(bytes: number, { budget }: MirrorOptions): void {
  budget.left_bytes -= bytes;
  if (budget.left_bytes < 0) throw new BangerError("limit_exceeded", "package lists too large");
}

/** The lists of packages that apt will look for, as the release file has them. */
export function indexesOf(
  { components, architectures, suite }: AptSource,
  release: string,
  imageArchitectures: readonly string[],
): Omit<WantedFile, "urls">[] {
  const files = digestsOf(release);
  const hasAll =
    /^Architectures:.*\ball\b/m.test(release) &&
    !/^No-Support-for-Architecture-all:\s*Packages\b/m.test(release);
  const names = [...(architectures ?? imageArchitectures), ...(hasAll ? ["all"] : [])];
  const places = suite.endsWith("/")
    ? ["Packages"]
    : components.flatMap((component) =>
        names.map((name) => `${component}/binary-${name}/Packages`),
      );
  const found = places.flatMap((place) => {
    const path = EXTENSIONS.map((extension) => place + extension).find((name) => files.has(name));
    const file = path === undefined ? undefined : files.get(path);
    return path !== undefined && file ? [{ path, ...file }] : [];
  });
  if (found.length === 0 || found.length > INDEXES_MAX) {
    throw new BangerError("unsupported", `no usable package index in suite "${suite}"`);
  }
  const large = found.find(({ size }) => size > INDEX_MAX_BYTES);
  if (large) throw new BangerError("limit_exceeded", `index "${large.path}" is too large`);
  return found;
}

/** The lines below "SHA256:", by path. */
function digestsOf(release: string): Map<string, { digest: Digest; size: number }> {
  const section = /^SHA256:[ \t]*\r?\n((?:[ \t]+\S.*(?:\n|$))*)/m.exec(release)?.[1] ?? "";
  const files = new Map<string, { digest: Digest; size: number }>();
  for (const line of section.split("\n")) {
    const [hex, size, path, ...rest] = line.trim().split(/\s+/);
    const digest = `sha256:${hex}`;
    if (!isDigest(digest) || !path || rest.length > 0 || !/^\d{1,12}$/.test(size ?? "")) continue;
    files.set(path, { digest, size: Number(size) });
  }
  return files;
}

/** Of a suite, below a source's base. */
function distPath(suite: string): string {
  if (suite === "/" || suite === "./") return "";
  return suite.endsWith("/") ? suite : `dists/${suite}/`;
}

function put(path: string, bytes: Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
}
