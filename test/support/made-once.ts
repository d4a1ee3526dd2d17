/**
 * Builds slow fixtures once: the first test that needs one builds it, others wait, also in other processes. The lock
 * is a flock, which the kernel releases if its holder is killed.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";

const BUILD = join(import.meta.dir, "../../build");
/** What is kept between runs. */
export const CACHE = join(BUILD, "cache");
/** What lasts as long as the program it was made with. */
export const RUN = join(BUILD, "test");
/** A test file that runs still uses what it began with, whatever is built meanwhile. */
const OLD_MS = 2 * 3_600_000;

/** Makes `path` by calling `make` with a place beside it, unless `isGood` what is there. */
export async function madeOnce(
  path: string,
  make: (staging: string) => Promise<void>,
  isGood: (path: string) => boolean = existsSync,
): Promise<string> {
  if (isGood(path)) return path;
  mkdirSync(dirname(path), { recursive: true });
  await using _ = await lock(`${path}.lock`);
  if (isGood(path)) return path;
  const staging = `${path}.new`;
  rmSync(staging, { recursive: true, force: true });
  try {
    await make(staging);
    rmSync(path, { recursive: true, force: true });
    renameSync(staging, path);
  } catch (error) {
    rmSync(staging, { recursive: true, force: true });
    throw error;
  }
  return path;
}

/** What was made like `name` of other sources or by another program, which no test uses any more. */
export function removeOthers(prefix: string, name: string): void {
  for (const old of readdirSync(RUN)) {
    if (!old.startsWith(prefix) || old.startsWith(name)) continue;
    const path = join(RUN, old);
    if (Date.now() - statSync(path).mtimeMs > OLD_MS)
      rmSync(path, { recursive: true, force: true });
  }
}

async function lock(path: string): Promise<AsyncDisposable> {
  const holder = Bun.spawn(["flock", path, "sh", "-c", "echo; exec cat"], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const { done } = await holder.stdout.getReader().read();
  if (done) throw new Error(`Cannot lock ${path}`);
  return {
    async [Symbol.asyncDispose]() {
      holder.stdin.end();
      await holder.exited;
    },
  };
}
