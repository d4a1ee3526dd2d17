/**
 * Caches results of apt, which takes seconds to read its indexes. They are valid until apt's lists or sources change.
 */
import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { type Digest, isDigest } from "#base/digest.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { run } from "#base/run.ts";
import { MiB } from "#base/size.ts";

const FILE = "apt-packages.json";
const MAX_BYTES = MiB;
/** The inputs of apt's results: lists, sources and preferences. */
const PLACES = ["State::lists/d", "Etc::sourcelist/f", "Etc::sourceparts/d", "Etc::preferences/f"];

export interface AptPackage {
  name: string;
  version: string;
  arch: string;
  /** File name in the archive. */
  file: string;
  size_bytes: number;
  sha256: Digest;
}

const packageSchema = z.object({
  name: z.string(),
  version: z.string(),
  arch: z.string(),
  file: z.string(),
  size_bytes: z.number(),
  sha256: z.string().refine(isDigest),
});
const memorySchema = z.object({
  schema: z.literal(1),
  stamp: z.string(),
  /** By `packageKey`; null if apt has no such package. */
  packages: z.record(z.string(), packageSchema.nullable()),
});

export type KnownPackages = ReadonlyMap<string, AptPackage | null>;

export interface AptCache {
  packages: KnownPackages;
  /** Whether apt's lists are unchanged since. */
  isCurrent: boolean;
}

/** Undefined if the cache is missing or unusable. */
export async function readAptCache(folder: string): Promise<AptCache | undefined> {
  const path = join(folder, FILE);
  try {
    if (statSync(path).size > MAX_BYTES) return undefined;
    const { stamp, packages } = memorySchema.parse(JSON.parse(readFileSync(path, "utf8")));
    return {
      packages: new Map(Object.entries(packages)),
      isCurrent: stamp === (await aptStamp()),
    };
  } catch {
    return undefined;
  }
}

/** Adds packages to the cache; drops those of older lists. */
export async function writeAptCache(
  folder: string,
  added: KnownPackages,
  stamp: string,
): Promise<void> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const known = await readAptCache(folder);
  const packages = new Map([...(known?.isCurrent ? known.packages : []), ...added]);
  const cached = { schema: 1, stamp, packages: Object.fromEntries(packages) };
  writeFileAtomic(join(folder, FILE), `${JSON.stringify(cached)}\n`);
}

/** Changes whenever apt's lists, sources or preferences do. Compute it before running apt. */
export async function aptStamp(): Promise<string> {
  return (await aptPaths()).map(stampOf).join(" ");
}

/** apt's directory of lists, if any. */
export async function listsFolder(): Promise<string | undefined> {
  return (await aptPaths())[0];
}

async function aptPaths(): Promise<string[]> {
  const words = PLACES.flatMap((place, index) => [`PLACE${index}`, `Dir::${place}`]);
  const { stdout } = await run(["apt-config", "shell", ...words]);
  return [...stdout.matchAll(/^PLACE\d+='(.*)'$/gm)].map(([, path = ""]) => path);
}

function stampOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) return "-";
  const own = `${stat.mtimeMs}:${stat.size}`;
  if (!stat.isDirectory()) return own;
  // Replacing a list changes its directory's mtime; editing a source does not.
  const newest = readdirSync(path).map((name) => {
    const file = statSync(join(path, name), { throwIfNoEntry: false });
    return file?.isFile() ? file.mtimeMs : 0;
  });
  return `${own}:${Math.max(0, ...newest)}`;
}
