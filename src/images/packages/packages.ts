/**
 * What the first boot of a Debian image installs, resolved, downloaded and decompressed by the host: an emulated guest
 * takes minutes for that. The guest's own apt and dpkg install it from a small repository.
 */
import { mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { getLogger } from "@logtape/logtape";
import { throwIfAborted } from "#base/abort.ts";
import { hexOf } from "#base/digest.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { readChunks } from "#base/files/chunks.ts";
import { assertRoom } from "#base/files/free-space.ts";
import type { OnProgress } from "#base/progress.ts";
import { GiB, MiB } from "#base/size.ts";
import { BlobStore } from "#blobs/blobs.ts";
import type { ImageStore } from "#images/store.ts";
import { TAR_END, tarHeader, tarPadding } from "#tar/write.ts";
import { type InstallOrder, mirrorFolder, resolvePackages, type WantedPackage } from "./apt.ts";
import { unpackDeb } from "./deb.ts";
import { readAptImage } from "./image-files.ts";
import { mirrorSource } from "./mirror.ts";
import { makeScratch } from "./scratch.ts";
import { fetchBlob, type PackageServers } from "./server.ts";
import { type PlainDeb, planUnpacking, type UnpackedPackages } from "./unpack.ts";

const log = getLogger(["banger", "image"]);

const DOWNLOADS_MAX = 4;
/** Of all packages together, compressed; and the most that their decompressed files may have. */
const PACKAGES_MAX_BYTES = GiB;
const REPOSITORY_MAX_BYTES = GiB;
/** Of all indexes together, as they are downloaded. */
const INDEXES_MAX_BYTES = 512 * MiB;
const LIST = "Packages";
/** Where apt keeps what it has downloaded, below its cache: a package that it finds there is not hashed again. */
const ARCHIVES = ["cache", "cache/archives"];

export interface PackageOptions {
  signal: AbortSignal;
  onProgress?: OnProgress | undefined;
  /** See PackageServers. */
  trusted?: readonly string[] | undefined;
  /** How long a server may be silent; for tests. */
  stallTimeout_ms?: number | undefined;
  /** See ResolveOptions. */
  listsMax_bytes?: number | undefined;
}

export interface PackageRepository extends Disposable {
  /** Number of packages. */
  count: number;
  size_bytes: number;
  /** Files for one directory: the packages, and the list of them. */
  tar(): AsyncGenerator<Uint8Array>;
  /** The same packages as dpkg unpacks them in the image, if that can be told without it. */
  unpacked: UnpackedPackages | undefined;
}

/**
 * The packages that `rootfs` lacks. Fails if the host's apt could not use the image's sources; the guest's own way is
 * left then.
 */
export async function preparePackages(
  store: ImageStore,
  rootfs: string,
  options: PackageOptions,
): Promise<PackageRepository> {
  const folder = makeScratch();
  try {
    const image = readAptImage(rootfs);
    const cache = store.paths.blobs;
    const { trusted } = options;
    const stalls = { count: 0, timeout_ms: options.stallTimeout_ms };
    const reports = image.sources.map(() => ({ done_bytes: 0, total_bytes: 0 }));
    const sources = [...image.sources.entries()];
    const budget = { left_bytes: INDEXES_MAX_BYTES };
    await inParallel(sources, options.signal, async ([index, source], signal) => {
      await mirrorSource(source, mirrorFolder(folder, index), {
        servers: { signal, trusted, stalls },
        cache,
        architectures: image.architectures,
        budget,
        onAdvance: (progress) => {
          reports[index] = progress;
          options.onProgress?.({
            step: "package lists",
            message: "Downloading package lists",
            done: reports.reduce((sum, { done_bytes }) => sum + done_bytes, 0),
            total: reports.reduce((sum, { total_bytes }) => sum + total_bytes, 0),
            unit: "bytes",
          });
        },
      });
    });
    options.onProgress?.({ step: "resolve", message: "Resolving packages" });
    const { packages: wanted, order } = await resolvePackages(image, folder, options);
    using _held = await store.blobs.hold(async () => {}, {
      digestsOf: () => wanted.map(({ digest }) => digest),
      signal: options.signal,
    });
    return await makeRepository(wanted, { ...options, stalls, folder, cache, rootfs, order });
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

/** Downloads packages and decompresses each as soon as it is there. Takes `folder` over. */
async function makeRepository(
  wanted: readonly WantedPackage[],
  options: PackageOptions &
    Pick<PackageServers, "stalls"> & {
      folder: string;
      cache: string;
      rootfs: string;
      order: InstallOrder;
    },
): Promise<PackageRepository> {
  const { folder, cache, trusted, stalls, onProgress } = options;
  const total = wanted.reduce((sum, { size }) => sum + size, 0);
  if (wanted.length === 0) throw new BangerError("unsupported", "no package is missing");
  if (total > PACKAGES_MAX_BYTES) throw new BangerError("limit_exceeded", "packages too large");
  const place = join(folder, "repository");
  for (const name of ["", ...ARCHIVES]) mkdirSync(join(place, name), { mode: 0o700 });
  assertRoom(place, total, "Cannot decompress the packages");
  const store = new BlobStore(cache);
  const downloaded = wanted.map(() => 0);
  const stanzas = wanted.map(() => "");
  const debs: PlainDeb[] = [];
  let size_bytes = 0;
  const get = async (index: number, one: WantedPackage, signal: AbortSignal): Promise<void> => {
    const onAdvance = (bytes: number): void => {
      downloaded[index] = bytes;
      onProgress?.({
        step: "packages",
        message: `Downloading ${wanted.length} packages`,
        done: downloaded.reduce((sum, each) => sum + each, 0),
        total,
        unit: "bytes",
      });
    };
    const { url, digest } = one;
    await fetchBlob(store, one, { url, servers: { signal, trusted, stalls }, onAdvance });
    const name = nameOf(one);
    const blob = join(cache, "sha256", hexOf(digest));
    const deb = await unpackDeb(blob, join(place, name), signal);
    size_bytes += deb.size;
    if (size_bytes > REPOSITORY_MAX_BYTES) {
      throw new BangerError("limit_exceeded", "decompressed packages too large");
    }
    debs.push({ path: join(place, name), stanza: deb.stanza });
    const file = `Filename: ./${name}\nSize: ${deb.size}\nSHA256: ${deb.sha256}`;
    stanzas[index] = `${deb.stanza}\n${file}\n`;
  };
  await inParallel([...wanted.entries()], options.signal, ([index, one], signal) =>
    get(index, one, signal),
  );
  const list = join(place, LIST);
  writeFileSync(list, stanzas.join("\n"), { mode: 0o600 });
  return {
    count: wanted.length,
    size_bytes: size_bytes + statSync(list).size,
    tar: () => tarOf(place, [...wanted.map(nameOf), LIST], options.signal),
    unpacked: unpackedOf(debs, options),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function unpackedOf(
  debs: readonly PlainDeb[],
  { rootfs, order, signal }: { rootfs: string; order: InstallOrder; signal: AbortSignal },
): UnpackedPackages | undefined {
  try {
    return planUnpacking(rootfs, debs, { order, signal });
  } catch (error) {
    throwIfAborted(signal);
    log.info("{message}", { message: messageOf(error) });
    return undefined;
  }
}

function nameOf({ file }: WantedPackage): string {
  return `${ARCHIVES.at(-1)}/${file}`;
}

async function* tarOf(
  folder: string,
  names: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const header = (type: "file" | "directory", name: string, size: number): Uint8Array => {
    const owner = { uid: 0, gid: 0, mtime_s: 0, mtime_ns: 0 };
    const mode = type === "file" ? 0o644 : 0o755;
    return tarHeader({ type, name: Buffer.from(name), mode, ...owner, size });
  };
  for (const name of ARCHIVES) yield header("directory", name, 0);
  for (const name of names) {
    const path = join(folder, name);
    const { size } = statSync(path);
    yield header("file", name, size);
    yield* readChunks(path, { signal });
    yield tarPadding(size);
  }
  yield TAR_END;
}

/** Calls `work` for each, a few at a time. The first failure ends the others. */
async function inParallel<T>(
  items: readonly T[],
  outer: AbortSignal,
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const queue = items.values();
  const stop = new AbortController();
  const signal = AbortSignal.any([outer, stop.signal]);
  let failure: { error: unknown } | undefined;
  const lane = async (): Promise<void> => {
    try {
      for (const item of queue) await work(item, signal);
    } catch (error) {
      failure ??= { error };
      stop.abort();
    }
  };
  await Promise.all(Array.from({ length: DOWNLOADS_MAX }, lane));
  if (failure) throw failure.error;
}
