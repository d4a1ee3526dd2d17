/**
 * banger's known_hosts file: one line per machine with its current host key, written before ssh reads it, so that ssh
 * never has to ask.
 */
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { BangerError, errnoOf } from "#base/error.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { MiB } from "#base/size.ts";

const FILE_MAX_BYTES = 16 * MiB;
const LOCK_RETRY_MS = 5;
const LOCK_TIMEOUT_MS = 5_000;
/** A lock held longer is stale. */
const LOCK_STALE_MS = 10_000;

/** `publicKey`: "ssh-ed25519 AAAA…". Any number of processes may call it at once. */
export async function rememberHost(path: string, host: string, publicKey: string): Promise<void> {
  const line = `${host} ${publicKey}`;
  if (readLines(path).includes(line)) return;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const lock = `${path}.lock`;
  await takeLock(lock);
  try {
    const others = readLines(path).filter((each) => each.split(" ")[0] !== host);
    writeFileAtomic(path, [...others, line, ""].join("\n"));
  } finally {
    rmSync(lock, { force: true });
  }
}

function readLines(path: string): string[] {
  try {
    if (statSync(path).size > FILE_MAX_BYTES) return [];
    return readFileSync(path, "utf8").split("\n").filter(Boolean);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

async function takeLock(path: string): Promise<void> {
  const deadline_ms = performance.now() + LOCK_TIMEOUT_MS;
  for (;;) {
    try {
      closeSync(openSync(path, "wx", 0o600));
      return;
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
    }
    if (isStale(path)) rmSync(path, { force: true });
    if (performance.now() > deadline_ms) {
      throw new BangerError(
        "timeout",
        `Cannot update known_hosts: timed out waiting for the lock ${path}`,
        {
          hint: `If no banger process is running, remove it: rm ${path}`,
        },
      );
    }
    await Bun.sleep(LOCK_RETRY_MS);
  }
}

function isStale(path: string): boolean {
  try {
    return Date.now() - statSync(path).mtimeMs > LOCK_STALE_MS;
  } catch {
    return false;
  }
}
