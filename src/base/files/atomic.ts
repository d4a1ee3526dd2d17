/** Files and folders that appear whole or not at all: written beside their place, then renamed into it. */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** Every half-made file or folder carries this mark, so that whatever a crash left can be swept. */
export const STAGING_MARK = ".staging-";

export function stagingPath(path: string): string {
  return join(dirname(path), `${STAGING_MARK}${basename(path)}-${randomBytes(4).toString("hex")}`);
}

export interface AtomicOptions {
  /** Default 0o600. */
  mode?: number;
  /** Of use until the host is restarted only: a power cut may take it. */
  isTransient?: boolean;
}

export function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  options: AtomicOptions = {},
): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const staging = stagingPath(path);
  try {
    writeSynced(staging, data, options);
    renameSync(staging, path);
  } catch (error) {
    rmSync(staging, { force: true });
    throw error;
  }
  if (!options.isTransient) syncFolder(dirname(path));
}

/** Calls `fill` with a new empty folder beside `path`, and moves it there when `fill` returns. */
export async function makeFolderAtomic<T>(
  path: string,
  fill: (staging: string) => Promise<T>,
): Promise<T> {
  const staging = stagingPath(path);
  mkdirSync(staging, { recursive: true, mode: 0o700 });
  try {
    const result = await fill(staging);
    renameSync(staging, path);
    syncFolder(dirname(path));
    return result;
  } catch (error) {
    rmSync(staging, { recursive: true, force: true });
    throw error;
  }
}

function writeSynced(
  path: string,
  data: string | Uint8Array,
  { mode = 0o600, isTransient }: AtomicOptions,
): void {
  const fd = openSync(path, "wx", mode);
  try {
    writeFileSync(fd, data);
    if (!isTransient) fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Has everything below a folder, and the folder itself, on the disk: what is recorded after it survives a power cut. */
export async function syncTree(path: string): Promise<void> {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const child = join(path, entry.name);
    if (entry.isDirectory()) await syncTree(child);
    else if (entry.isFile()) await syncFile(child);
  }
  syncFolder(path);
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

export function syncFolder(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
