/**
 * The memory of a running guest as a sparse file. What it has never written is not read: pages that are QEMU's own
 * are found in its page map, and the others are those of the file that it maps, if it was restored from one. That
 * file does not change and is copied while the machine runs.
 * Sources: proc(5), the kernel's admin-guide/mm/pagemap.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { throwIfAborted } from "#base/abort.ts";
import { BangerError, errnoOf } from "#base/error.ts";
import { copySparse } from "#base/files/copy-file.ts";
import { nonZeroParts } from "#base/files/sparse.ts";
import { GiB, KiB, MiB } from "#base/size.ts";
import { type Scratch, writtenBy } from "#vmm/jail/scratch.ts";
import { askMonitor, type Qmp } from "./qmp.ts";

const PAGE_BYTES = 4 * KiB;
const RUN_MAX_BYTES = 4 * MiB;
/** Of the page map, for each page; the flags are in the upper half. */
const ENTRY_BYTES = 8;
const ENTRIES_PER_READ = 64 * KiB;
const PRESENT = 1 << 31;
const SWAPPED = 1 << 30;
const OF_FILE = 1 << 29;
/** microvm has the memory above 3 GiB from 4 GiB on. */
const LOW_MEMORY_BYTES = 3 * GiB;
const HIGH_MEMORY_ADDRESS = 4 * GiB;
/** Where QEMU has to write pages itself, pages that are as near as this are written in one go. */
const GAP_PAGES = 8;

export interface MemoryCopyOptions {
  /** Of QEMU. */
  pid: number;
  /** Of the copy, which must not exist. */
  path: string;
  scratch: Scratch;
  signal?: AbortSignal | undefined;
}

interface Region {
  /** In QEMU's memory. */
  address: number;
  size_bytes: number;
  /** What it maps privately, through a descriptor of QEMU's. */
  basePath: string | undefined;
}

/** Offset and length, of guest memory. */
type PageRun = readonly [offset: number, length: number];

export class MemoryCopy {
  readonly #qmp: Qmp;
  readonly #options: MemoryCopyOptions;
  readonly #region: Region;

  private constructor(qmp: Qmp, options: MemoryCopyOptions, region: Region) {
    this.#qmp = qmp;
    this.#options = options;
    this.#region = region;
  }

  /** Copies what does not change while the machine runs. */
  static async begin(qmp: Qmp, options: MemoryCopyOptions): Promise<MemoryCopy> {
    const region = await findRegion(qmp, options.pid);
    const { path, signal } = options;
    if (region.basePath !== undefined) await copySparse(region.basePath, path, { signal });
    else {
      await using file = await open(path, "wx", 0o600);
      await file.truncate(region.size_bytes);
    }
    return new MemoryCopy(qmp, options, region);
  }

  /**
   * Copies the rest from the machine, which is stopped. `mayRead`: false has QEMU itself write the pages, as it
   * must where another process may not read its memory (Yama).
   */
  async complete({ mayRead = true } = {}): Promise<void> {
    const { pid, path } = this.#options;
    await using target = await open(path, "r+");
    const memory = mayRead ? await openMemory(pid) : undefined;
    if (!memory) {
      await this.#copyByMonitor(target);
      return;
    }
    await using _ = memory;
    const buffer = Buffer.allocUnsafe(RUN_MAX_BYTES);
    for await (const [offset, length] of this.#ownPages({ gap_pages: 0 })) {
      const bytes = buffer.subarray(0, length);
      await readWhole(memory, bytes, this.#region.address + offset);
      await this.#write(target, bytes, offset);
    }
  }

  async #copyByMonitor(target: FileHandle): Promise<void> {
    const { scratch } = this.#options;
    for await (const run of this.#ownPages({ gap_pages: GAP_PAGES })) {
      for (const [offset, size] of splitAtHole(run)) {
        const file = { name: "pages", max_bytes: size };
        const bytes = await writtenBy(scratch, file, (filename) =>
          this.#qmp.execute("pmemsave", { val: addressOf(offset), size, filename }),
        );
        await this.#write(target, bytes, offset);
      }
    }
  }

  async #write(target: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
    const isNew = this.#region.basePath === undefined;
    const parts = isNew
      ? nonZeroParts(bytes, { position, hole_bytes: PAGE_BYTES })
      : ([[0, bytes.length]] as const);
    for (const [start, end] of parts) {
      for (let at = start; at < end; ) {
        const { bytesWritten } = await target.write(bytes, at, end - at, position + at);
        at += bytesWritten;
      }
    }
  }

  /** The pages that are the process's own, in runs; pages nearer to each other than the gap are in one. */
  async *#ownPages({ gap_pages }: { gap_pages: number }): AsyncGenerator<PageRun> {
    const { address, size_bytes } = this.#region;
    await using map = await open(`/proc/${this.#options.pid}/pagemap`, "r");
    const count = size_bytes / PAGE_BYTES;
    const buffer = Buffer.alloc(ENTRIES_PER_READ * ENTRY_BYTES);
    for (let first = 0; first < count; first += ENTRIES_PER_READ) {
      throwIfAborted(this.#options.signal);
      const entries = Math.min(ENTRIES_PER_READ, count - first);
      const bytes = buffer.subarray(0, entries * ENTRY_BYTES);
      await readWhole(map, bytes, (address / PAGE_BYTES + first) * ENTRY_BYTES);
      for (const [offset, length] of ownRuns(bytes, gap_pages)) {
        yield [first * PAGE_BYTES + offset, length];
      }
    }
  }
}

/** Of a part of the page map: runs of pages that are not those of a file. */
export function* ownRuns(pagemap: Uint8Array, gap_pages: number): Generator<PageRun> {
  const words = new Uint32Array(pagemap.buffer, pagemap.byteOffset, pagemap.length / 4);
  let start = -1;
  let end = -1;
  for (let page = 0; page * 2 < words.length; page++) {
    const flags = words[page * 2 + 1] ?? 0;
    if ((flags & (PRESENT | SWAPPED)) === 0 || (flags & OF_FILE) !== 0) continue;
    const isNear = start >= 0 && page - end <= gap_pages;
    if (!isNear || (page + 1 - start) * PAGE_BYTES > RUN_MAX_BYTES) {
      if (start >= 0) yield [start * PAGE_BYTES, (end - start) * PAGE_BYTES];
      start = page;
    }
    end = page + 1;
  }
  if (start >= 0) yield [start * PAGE_BYTES, (end - start) * PAGE_BYTES];
}

/** The parts of a run that are in one piece for the guest. */
export function splitAtHole([offset, length]: PageRun): PageRun[] {
  const low = LOW_MEMORY_BYTES - offset;
  if (low <= 0 || low >= length) return [[offset, length]];
  return [
    [offset, low],
    [LOW_MEMORY_BYTES, length - low],
  ];
}

/** Where the guest has it. */
export function addressOf(offset: number): number {
  const high = offset - LOW_MEMORY_BYTES;
  return high < 0 ? offset : HIGH_MEMORY_ADDRESS + high;
}

async function findRegion(qmp: Qmp, pid: number): Promise<Region> {
  const summary = (await qmp.execute("query-memory-size-summary")) as { "base-memory"?: number };
  const size_bytes = summary["base-memory"] ?? 0;
  const where = /0x[0-9a-f]+\s*$/.exec(await askMonitor(qmp, "gpa2hva 0"))?.[0];
  const address = Number(where);
  const mapped = where && mappingAt(readFileSync(`/proc/${pid}/maps`, "utf8"), address);
  if (!mapped || size_bytes === 0) {
    throw new BangerError("unsupported", "Cannot save the machine: its memory cannot be found");
  }
  if (mapped.inode === 0) return { address, size_bytes, basePath: undefined };
  return { address, size_bytes, basePath: descriptorOf(pid, mapped.inode) };
}

/** The line of /proc/PID/maps that has an address. */
export function mappingAt(maps: string, address: number): { inode: number } | undefined {
  for (const line of maps.split("\n")) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ (\d+)/.exec(line);
    if (!match) continue;
    const [start, end] = [match[1], match[2]].map((text) => Number.parseInt(text ?? "", 16));
    if (address >= (start ?? 0) && address < (end ?? 0)) return { inode: Number(match[3]) };
  }
  return undefined;
}

/** QEMU keeps the file of its memory open; it may have no name any more. */
function descriptorOf(pid: number, inode: number): string {
  const folder = `/proc/${pid}/fd`;
  for (const name of readdirSync(folder)) {
    const path = `${folder}/${name}`;
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats?.isFile() && stats.ino === inode) return path;
  }
  throw new BangerError("internal", "Cannot save the machine: its memory's file is closed");
}

/** Undefined where only those who have started a process may read its memory, and this one has not. */
async function openMemory(pid: number): Promise<FileHandle | undefined> {
  try {
    return await open(`/proc/${pid}/mem`, "r");
  } catch (error) {
    if (errnoOf(error) === "EACCES" || errnoOf(error) === "EPERM") return undefined;
    throw error;
  }
}

async function readWhole(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesRead } = await file.read(bytes, done, bytes.length - done, position + done);
    if (bytesRead === 0) {
      throw new BangerError("internal", "Cannot save the machine: its memory ends early");
    }
    done += bytesRead;
  }
}
