/**
 * Finds and downloads Debian packages with the host's apt, which has the mirrors, proxies and keys. The digest of a
 * package comes from apt's signed index, and is verified after the download.
 */
import { createReadStream, existsSync, readdirSync, statSync } from "node:fs";
import { copyFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { getLogger } from "@logtape/logtape";
import { throwIfAborted } from "#base/abort.ts";
import { isDigest } from "#base/digest.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { STAGING_MARK } from "#base/files/atomic.ts";
import type { OnProgress } from "#base/progress.ts";
import { type RunResult, run, which } from "#base/run.ts";
import { GiB } from "#base/size.ts";
import {
  type AptPackage,
  aptStamp,
  listsFolder,
  readAptCache,
  writeAptCache,
} from "./apt-cache.ts";

const log = getLogger(["banger", "kernels"]);

const DOWNLOAD_TIMEOUT_MS = 60 * 60_000;
const LOOK_MS = 200;
const MAX_PACKAGE_BYTES = 2 * GiB;
/** A meta-package depends on the image package or on another meta-package. */
const MAX_META_DEPTH = 3;
/** Kernel packages and kernel source packages. */
const PACKAGE_PREFIXES: readonly string[] = ["linux-image-", "linux-source-"];
/** Number of cached packages of each kind; new patch versions replace old ones. */
const CACHED_MAX = 3;
/** Temporary directory of a download. */
export const STAGING_NAME = "kernel-package-";
const AUTHENTIC = ["-o", "APT::Get::AllowUnauthenticated=false"];
/** apt's download user cannot write to a private directory and would warn on every run. */
const UNSANDBOXED = ["-o", "APT::Sandbox::User=root"];

/** Running background lookups, by cache directory. */
const refreshing = new Set<string>();

interface Work {
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/**
 * Resolves a meta-package to the kernel (or source) package, at the version that apt would install. `cache`:
 * directory for apt's results.
 */
export async function resolveKernelPackage(
  name: string,
  arch: string,
  work: Work & { cache?: string | undefined } = {},
): Promise<AptPackage> {
  const { cache } = work;
  if (cache === undefined) return await lookUp(name, arch, work);
  const key = packageKey({ name, arch });
  const cached = await readAptCache(cache);
  const known = cached?.isCurrent ? cached.packages.get(key) : undefined;
  if (known) return known;
  const stamp = await aptStamp();
  const found = await lookUp(name, arch, work);
  await writeAptCache(cache, new Map([[key, found]]), stamp);
  return found;
}

async function lookUp(name: string, arch: string, work: Work): Promise<AptPackage> {
  if (!which("apt-get") || !which("apt-cache")) {
    throw new BangerError("unsupported", `Cannot get package "${name}": apt is not installed`, {
      hint: "Import a kernel instead: banger kernel import --from DIR",
    });
  }
  let current = name;
  for (let depth = 0; depth < MAX_META_DEPTH; depth++) {
    const stanza = await show(current, arch, work);
    const image = imageDependency(stanza.get("Depends") ?? "");
    if (image === undefined) return packageOf(stanza);
    current = image;
  }
  throw new BangerError("integrity", `Cannot get package "${name}": circular dependencies`);
}

/**
 * Like `resolveKernelPackages`, but returns cached results even if apt's lists have changed, and refreshes them in
 * the background.
 */
export async function knownKernelPackages(
  wanted: readonly { name: string; arch: string }[],
  { cache, signal }: { cache: string; signal?: AbortSignal | undefined },
): Promise<ReadonlyMap<string, AptPackage>> {
  if (!which("apt-cache")) return new Map();
  const cached = await readAptCache(cache);
  const isKnown = wanted.every((each) => cached?.packages.has(packageKey(each)));
  if (!cached || !isKnown) return await refresh(wanted, cache, signal);
  if (!cached.isCurrent && !refreshing.has(cache)) {
    refreshing.add(cache);
    void refresh(wanted, cache)
      .catch((error) => log.warn("cannot ask apt: {message}", { message: messageOf(error) }))
      .finally(() => refreshing.delete(cache));
  }
  return new Map([...cached.packages].flatMap(([key, value]) => (value ? [[key, value]] : [])));
}

async function refresh(
  wanted: readonly { name: string; arch: string }[],
  cache: string,
  signal?: AbortSignal,
): Promise<Map<string, AptPackage>> {
  const stamp = await aptStamp();
  const found = await resolveKernelPackages(wanted, { signal });
  const keys = wanted.map(packageKey);
  await writeAptCache(cache, new Map(keys.map((key) => [key, found.get(key) ?? null])), stamp);
  return found;
}

/** Like `resolveKernelPackage` for several at once; omits unavailable packages. */
async function resolveKernelPackages(
  wanted: readonly { name: string; arch: string }[],
  work: Work = {},
): Promise<Map<string, AptPackage>> {
  const found = new Map<string, AptPackage>();
  if (!which("apt-cache")) return found;
  let round = wanted.map((each) => ({ ...each, key: packageKey(each) }));
  for (let depth = 0; depth < MAX_META_DEPTH && round.length > 0; depth++) {
    const names = round.map(({ name, arch }) => `${name}:${arch}`);
    const argv = ["apt-cache", "show", "--no-all-versions", ...new Set(names)];
    const { stdout } = await run(argv, { signal: work.signal });
    const stanzas = stdout.split(/\n\s*\n/).map(parseStanza);
    round = round.flatMap(({ name, arch, key }) => {
      const stanza = stanzas.find(
        (each) =>
          each.get("Package") === name && ["all", arch].includes(each.get("Architecture") ?? ""),
      );
      const image = stanza && imageDependency(stanza.get("Depends") ?? "");
      if (image !== undefined) return [{ name: image, arch, key }];
      if (stanza) found.set(key, packageOf(stanza));
      return [];
    });
  }
  return found;
}

/** Key of the map of `resolveKernelPackages`. */
export function packageKey({ name, arch }: { name: string; arch: string }): string {
  return `${name}:${arch}`;
}

/** Downloads the package to `folder` and returns its path, from the cache directory `cache` if possible. */
export async function downloadPackage(
  wanted: AptPackage,
  folder: string,
  work: Work & { cache?: string | undefined } = {},
): Promise<string> {
  const cached = work.cache === undefined ? undefined : join(work.cache, wanted.file);
  if (cached !== undefined && (await matches(cached, wanted, work.signal))) return cached;
  const path = await fetchWithProgress(wanted, folder, work);
  if (!(await matches(path, wanted, work.signal))) {
    throw new BangerError(
      "integrity",
      `Cannot use "${wanted.file}": it does not match the signed package index`,
      { hint: "sudo apt-get update" },
    );
  }
  if (work.cache !== undefined && existsSync(work.cache)) {
    await keepInCache(path, work.cache, wanted.file);
  }
  return path;
}

async function keepInCache(path: string, cache: string, file: string): Promise<void> {
  const staging = join(cache, `${STAGING_MARK}${STAGING_NAME}${process.pid}`);
  try {
    await copyFile(path, staging);
    await rename(staging, join(cache, file));
  } finally {
    await rm(staging, { force: true });
  }
  const prefix = PACKAGE_PREFIXES.find((each) => file.startsWith(each)) ?? file;
  const kept = readdirSync(cache)
    .filter((name) => name.startsWith(prefix))
    .map((name) => ({ name, age: statSync(join(cache, name)).mtimeMs }))
    .sort((a, b) => b.age - a.age);
  for (const { name } of kept.slice(CACHED_MAX)) await rm(join(cache, name), { force: true });
}

/** Whether apt has package lists, which a fresh system lacks. */
export async function hasPackageLists(): Promise<boolean> {
  const folder = await listsFolder();
  if (folder === undefined || !existsSync(folder)) return false;
  return readdirSync(folder).some((name) => /_Packages(\.\w+)?$/.test(name));
}

/** The first "linux-image-…" in Depends. */
export function imageDependency(depends: string): string | undefined {
  return depends
    .split(/[,|]/)
    .map((part) => part.trim().split(/[\s:(]/)[0] ?? "")
    .find((name) => name.startsWith("linux-image-"));
}

/** The fields of a package's stanza in apt's index. */
export function packageOf(stanza: ReadonlyMap<string, string>): AptPackage {
  const field = (name: string): string => stanza.get(name) ?? "";
  const file = field("Filename").split("/").at(-1) ?? "";
  const sha256 = `sha256:${field("SHA256")}`;
  const size_bytes = Number(field("Size"));
  if (!isDigest(sha256) || !/^[a-z0-9][^/\s]*\.deb$/.test(file) || !(size_bytes > 0)) {
    throw new BangerError(
      "integrity",
      `Cannot get package "${field("Package")}": no file, size or SHA256 in apt's index`,
      { hint: "sudo apt-get update" },
    );
  }
  if (size_bytes > MAX_PACKAGE_BYTES) {
    throw new BangerError("limit_exceeded", `Cannot get "${file}": too large: ${size_bytes} bytes`);
  }
  const [name, version, arch] = [field("Package"), field("Version"), field("Architecture")];
  return { name, version, arch, file, size_bytes, sha256 };
}

/** Parses the first stanza of a Debian control file; indented lines continue the previous field. */
export function parseStanza(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  let last = "";
  for (const line of text.split("\n")) {
    if (line.trim() === "") {
      if (fields.size > 0) break;
      continue;
    }
    const match = /^([A-Za-z0-9-]+):\s*(.*)$/.exec(line);
    if (match?.[1]) {
      last = match[1];
      fields.set(last, match[2] ?? "");
    } else if (/^\s/.test(line)) fields.set(last, `${fields.get(last) ?? ""}\n${line.trim()}`);
  }
  return fields;
}

async function show(name: string, arch: string, work: Work): Promise<Map<string, string>> {
  const argv = ["apt-cache", "show", "--no-all-versions", `${name}:${arch}`];
  const result = await run(argv, { signal: work.signal });
  const stanza = parseStanza(result.stdout);
  if (result.exitCode === 0 && stanza.get("Package") === name) return stanza;
  if (!(await hasPackageLists())) {
    throw new BangerError("unavailable", `Cannot get package "${name}": apt has no package lists`, {
      hint: "sudo apt-get update",
    });
  }
  throw new BangerError(
    "not_found",
    `Cannot get package "${name}": not found for ${arch} in the host's apt sources`,
    { hint: "Run sudo apt-get update, or choose another kernel: banger kernel list --available" },
  );
}

/** apt escapes ":" in the file name; it is the only file in the directory. */
async function fetchWithProgress(wanted: AptPackage, folder: string, work: Work): Promise<string> {
  const arch = wanted.arch === "all" ? "" : `:${wanted.arch}`;
  const target = `${wanted.name}${arch}=${wanted.version}`;
  const report = (): void =>
    work.onProgress?.({
      step: "download",
      message: `Downloading ${wanted.name} ${wanted.version}`,
      done: Math.min(largestFile(folder), wanted.size_bytes),
      total: wanted.size_bytes,
      unit: "bytes",
    });
  report();
  const timer = setInterval(report, LOOK_MS);
  try {
    const argv = ["apt-get", ...AUTHENTIC, ...UNSANDBOXED, "-q", "download", target];
    const options = { cwd: folder, timeout_ms: DOWNLOAD_TIMEOUT_MS, signal: work.signal };
    const result = await run(argv, options);
    if (result.exitCode !== 0) throw aptFailure(wanted.name, result);
    report();
    return join(folder, readdirSync(folder).find((name) => name.endsWith(".deb")) ?? wanted.file);
  } finally {
    clearInterval(timer);
  }
}

function aptFailure(name: string, result: RunResult): BangerError {
  const lines = result.stderr.split("\n").filter((line) => /^[EW]: /.test(line));
  const why = (lines.map((line) => line.slice(3)).join("; ") || result.stderr.trim()).slice(-1000);
  if (/No space left on device/.test(why)) {
    return new BangerError("no_space", `Cannot get package "${name}": no space left on device`);
  }
  return new BangerError("unavailable", `Cannot get package "${name}": ${why}`, {
    hint: /404|no longer|Size mismatch|Hash Sum/.test(why)
      ? "sudo apt-get update"
      : "Check the network and apt's sources, and try again",
  });
}

async function matches(path: string, wanted: AptPackage, signal?: AbortSignal): Promise<boolean> {
  if (!existsSync(path) || statSync(path).size !== wanted.size_bytes) return false;
  const hasher = new Bun.CryptoHasher("sha256");
  for await (const chunk of createReadStream(path)) {
    throwIfAborted(signal);
    hasher.update(chunk);
  }
  return `sha256:${hasher.digest("hex")}` === wanted.sha256;
}

/** apt writes the only file in the directory under its final name. */
function largestFile(folder: string): number {
  try {
    return Math.max(0, ...readdirSync(folder).map((name) => statSync(join(folder, name)).size));
  } catch {
    return 0;
  }
}
