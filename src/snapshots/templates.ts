/**
 * Templates: machines as they were at the end of their boot, before they had an identity. Later machines
 * of the same kind are restored from one. They are a cache: whatever is wrong with one, it is dropped, and
 * the next machine boots.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { orAborted } from "#base/abort.ts";
import { type Digest, isDigest, sha256 } from "#base/digest.ts";
import { BangerError, toBangerError } from "#base/error.ts";
import { makeFolderAtomic, STAGING_MARK, syncTree, writeFileAtomic } from "#base/files/atomic.ts";
import { formatSize } from "#base/size.ts";

const FORMAT = 1;
/** Delay before a template is tried again after the disk was full. */
const FULL_MS = 10 * 60_000;
/** What a template's folder holds; `record` says what the others have to be. */
const NAMES = {
  memory: "memory",
  state: "state",
  disk: "disk.ext4",
  initrd: "initrd.img",
  record: "template.json",
};

export interface TemplateFiles {
  /** Of the guest, sparse. */
  memory: string;
  /** Processors and devices, as the VMM writes them. */
  state: string;
  /** The writable layer, sparse. */
  disk: string;
  /** What it was booted with: the VMM wants the same one. */
  initrd: string;
}

const recordSchema = z.object({
  format: z.literal(FORMAT),
  key: z.string(),
  /** What it was made of, for people. */
  image: z.string(),
  createdAt: z.iso.datetime(),
  memory: z.object({ size_bytes: z.int(), mtime_ms: z.number() }),
  disk: z.object({ size_bytes: z.int(), mtime_ms: z.number() }),
  stateDigest: z.string().refine(isDigest),
});

export interface EnsureOptions {
  /** Ends the wait for another's. */
  signal?: AbortSignal | undefined;
  /** Called before a wait for another's. */
  onWait?: (() => void) | undefined;
  /** Called when another one waits for this. */
  onAwaited?: (() => void) | undefined;
  /** Nobody has asked for it yet: whoever does so first is given the error of this. */
  isInAdvance?: boolean | undefined;
}

interface Making {
  done: Promise<unknown>;
  onAwaited: (() => void) | undefined;
}

interface Failure {
  /** When to try again. */
  until_ms: number;
  /** Until somebody has been given it. */
  untold?: unknown;
}

export class Templates {
  readonly #folder: string;
  readonly #max_bytes: number;
  /** By key: one that is being made. */
  readonly #making = new Map<string, Making>();
  /** By key; a new process tries again at once. */
  readonly #hopeless = new Map<string, Failure>();

  /** `max_bytes`: on disk; those that were used last stay. */
  constructor(folder: string, max_bytes: number) {
    this.#folder = folder;
    this.#max_bytes = max_bytes;
  }

  /** The template of `key`, which counts as used now. Undefined when there is none, or a damaged one. */
  find(key: string): TemplateFiles | undefined {
    const files = this.#files(join(this.#folder, key));
    if (!existsSync(files.record)) return undefined;
    if (!isWhole(files, key)) {
      this.drop(key);
      return undefined;
    }
    utimesSync(files.record, new Date(), new Date());
    return files;
  }

  /**
   * The same, made first where there is none: `fill` gets names of files that are not there yet. Two who
   * ask for one at once wait for the same. Undefined when it was tried before in vain: for as long as this process
   * lives, or for some minutes where the disk was full.
   */
  async ensure(
    key: string,
    image: string,
    fill: (files: TemplateFiles) => Promise<void>,
    { signal, onWait, onAwaited, isInAdvance }: EnsureOptions = {},
  ): Promise<TemplateFiles | undefined> {
    for (let other = this.#making.get(key); other; other = this.#making.get(key)) {
      other.onAwaited?.();
      onWait?.();
      const over = other.done.catch(() => {});
      await orAborted(over, signal);
    }
    const found = this.find(key);
    if (found || this.#isHopeless(key)) return found;
    const done = this.#make(key, image, fill);
    this.#making.set(key, { done, onAwaited });
    try {
      await done;
    } catch (error) {
      const isPassing = toBangerError(error).code === "no_space";
      const until_ms = isPassing ? Date.now() + FULL_MS : Number.POSITIVE_INFINITY;
      this.#hopeless.set(key, { until_ms, ...(isInAdvance ? { untold: error } : {}) });
      throw error;
    } finally {
      this.#making.delete(key);
    }
    return this.find(key);
  }

  /** Somebody else's trouble, such as a cancelled command, says nothing of the next try. */
  retry(key: string): void {
    this.#hopeless.delete(key);
  }

  #isHopeless(key: string): boolean {
    const failure = this.#hopeless.get(key);
    if (!failure || failure.until_ms <= Date.now()) return false;
    const { untold, ...told } = failure;
    this.#hopeless.set(key, told);
    if (untold) throw untold;
    return true;
  }

  /** Machines that were restored from it are not touched. */
  drop(key: string): void {
    rmSync(join(this.#folder, key), { recursive: true, force: true });
  }

  /** Bytes on disk, and how many there are. */
  usage(): { count: number; size_bytes: number } {
    const all = this.#list();
    return { count: all.length, size_bytes: all.reduce((sum, each) => sum + each.size_bytes, 0) };
  }

  /** Removes what is over the limit, or with `all` every one, and what a crash has left half-made. */
  collect({ all, dryRun }: { all?: boolean; dryRun?: boolean } = {}): {
    count: number;
    freed_bytes: number;
  } {
    let total_bytes = 0;
    let count = 0;
    let freed_bytes = 0;
    for (const { key, size_bytes } of this.#list()) {
      total_bytes += size_bytes;
      if (!all && total_bytes <= this.#max_bytes) continue;
      if (!dryRun) this.drop(key);
      count++;
      freed_bytes += size_bytes;
    }
    if (!dryRun) this.#removeLeftovers();
    return { count, freed_bytes };
  }

  /** Half-made ones of a process that is gone. */
  #removeLeftovers(): void {
    for (const name of this.#names().filter((each) => each.startsWith(STAGING_MARK))) {
      if (this.#making.size === 0) rmSync(join(this.#folder, name), { recursive: true });
    }
  }

  async #make(
    key: string,
    image: string,
    fill: (files: TemplateFiles) => Promise<void>,
  ): Promise<void> {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    this.drop(key);
    const making = makeFolderAtomic(join(this.#folder, key), async (staging) => {
      const files = this.#files(staging);
      await fill(files);
      const record: z.infer<typeof recordSchema> = {
        format: FORMAT,
        key,
        image,
        createdAt: new Date().toISOString(),
        memory: stampOf(files.memory),
        disk: stampOf(files.disk),
        stateDigest: sha256(readFileSync(files.state)),
      };
      writeFileAtomic(files.record, JSON.stringify(record));
      // A power cut leaves files with their size and times, but holes for what was not written yet.
      await syncTree(staging);
    });
    await making.catch((error) => {
      // Another process was faster.
      if (!this.find(key)) throw error;
    });
    const { size_bytes = 0 } = this.#list().find((each) => each.key === key) ?? {};
    this.collect();
    if (existsSync(join(this.#folder, key))) return;
    // Made and removed again for each machine it would double the time of every start.
    throw new BangerError(
      "limit_exceeded",
      `its size is ${formatSize(size_bytes)}, over vm.templates_max (${formatSize(this.#max_bytes)})`,
    );
  }

  /** Those that were used last come first. */
  #list(): { key: string; size_bytes: number; usedAt_ms: number }[] {
    return this.#names()
      .filter((name) => !name.startsWith(STAGING_MARK))
      .map((key) => {
        const files = Object.values(this.#files(join(this.#folder, key)));
        const stats = files.flatMap((path) => statSync(path, { throwIfNoEntry: false }) ?? []);
        const size_bytes = stats.reduce((sum, { blocks }) => sum + blocks * 512, 0);
        return { key, size_bytes, usedAt_ms: Math.max(0, ...stats.map(({ mtimeMs }) => mtimeMs)) };
      })
      .sort((a, b) => b.usedAt_ms - a.usedAt_ms);
  }

  #names(): string[] {
    return existsSync(this.#folder) ? readdirSync(this.#folder) : [];
  }

  #files(folder: string): TemplateFiles & { record: string } {
    return {
      memory: join(folder, NAMES.memory),
      state: join(folder, NAMES.state),
      disk: join(folder, NAMES.disk),
      initrd: join(folder, NAMES.initrd),
      record: join(folder, NAMES.record),
    };
  }
}

/** Reading all of the memory takes longer than booting: its size and time of change must do. */
function isWhole(files: TemplateFiles & { record: string }, key: string): boolean {
  try {
    const record = recordSchema.parse(JSON.parse(readFileSync(files.record, "utf8")));
    return (
      record.key === key &&
      Bun.deepEquals(stampOf(files.memory), record.memory) &&
      Bun.deepEquals(stampOf(files.disk), record.disk) &&
      sha256(readFileSync(files.state)) === (record.stateDigest as Digest) &&
      existsSync(files.initrd)
    );
  } catch {
    return false;
  }
}

function stampOf(path: string): { size_bytes: number; mtime_ms: number } {
  const { size, mtimeMs } = statSync(path);
  return { size_bytes: size, mtime_ms: mtimeMs };
}
