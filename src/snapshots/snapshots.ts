/** Snapshots of the user's: a folder each, with what it is of, the disk, and mostly the memory. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { sha256 } from "#base/digest.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { stagingPath, syncFolder, syncTree, writeFileAtomic } from "#base/files/atomic.ts";
import { newId } from "#base/id.ts";
import { didYouMean } from "#base/similar.ts";
import {
  RECORD_FORMAT,
  type SnapshotDescription,
  type SnapshotRecord,
  snapshotRecord,
} from "./record.ts";

const NAMES = {
  memory: "memory",
  state: "state",
  disk: "disk.ext4",
  record: "snapshot.json",
  /** What the files were when the snapshot was made; of this computer, and so in no archive. */
  stamps: "stamps.json",
};

export interface SnapshotFiles {
  /** The writable layer, sparse. */
  disk: string;
  /** Of the guest, sparse; absent with `state` where there is no memory. */
  memory: string;
  /** Processors and devices, as the VMM writes them. */
  state: string;
  record: string;
}

export interface StoredSnapshot {
  name: string;
  files: SnapshotFiles;
  record: SnapshotRecord;
  /** On disk. */
  size_bytes: number;
}

const stamp = z.object({ size_bytes: z.int(), mtime_ms: z.number() });
const stampsSchema = z.object({ disk: stamp, memory: stamp.optional() });

export class Snapshots {
  readonly #folder: string;
  /** How many are being made, whose folders are no leftovers. */
  #making = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  has(name: string): boolean {
    return existsSync(filesIn(join(this.#folder, name)).record);
  }

  /** By name. One whose record cannot be read is left out: `unreadable` names it. */
  list(): StoredSnapshot[] {
    return this.#names().flatMap((name) => {
      try {
        return [this.find(name)];
      } catch {
        return [];
      }
    });
  }

  /** Names of those whose record cannot be read. */
  unreadable(): string[] {
    const readable = new Set(this.list().map(({ name }) => name));
    return this.#names().filter((name) => !readable.has(name));
  }

  /** `not_found`; `integrity` for one whose record cannot be read. */
  find(name: string): StoredSnapshot {
    this.#assertThere(name);
    const folder = join(this.#folder, name);
    const files = filesIn(folder);
    try {
      const record = snapshotRecord.parse(JSON.parse(readFileSync(files.record, "utf8")));
      return { name, files, record, size_bytes: sizeOf(folder) };
    } catch (cause) {
      throw damaged(name, `its record cannot be read: ${messageOf(cause)}`, cause);
    }
  }

  /** `integrity` where the disk is not what it was when the snapshot was made. */
  assertDisk({ name, files }: StoredSnapshot): void {
    if (Bun.deepEquals(stampOf(files.disk), stampsIn(join(this.#folder, name))?.disk)) return;
    throw damaged(name, "its disk was changed");
  }

  /** Whether memory and state are what they were; reading all of the memory takes longer than booting. */
  isMemoryWhole({ name, files, record }: StoredSnapshot): boolean {
    try {
      const stamps = stampsIn(join(this.#folder, name));
      const { stateDigest } = record.memory ?? {};
      return (
        stamps?.memory !== undefined &&
        Bun.deepEquals(stampOf(files.memory), stamps.memory) &&
        sha256(readFileSync(files.state)) === stateDigest
      );
    } catch {
      return false;
    }
  }

  /**
   * `fill` gets names of files that are not there yet, and says what they are of. `already_exists` for a name
   * that is taken. The snapshot appears whole or not at all.
   */
  async create(
    name: string,
    fill: (files: SnapshotFiles) => Promise<SnapshotDescription>,
  ): Promise<StoredSnapshot> {
    this.assertFree(name);
    return await this.#make(async (files) => {
      const description = await fill(files);
      const { memory } = description;
      const record: SnapshotRecord = {
        ...description,
        format: RECORD_FORMAT,
        memory: memory && { ...memory, stateDigest: sha256(readFileSync(files.state)) },
        createdAt: new Date().toISOString(),
      };
      return { name, record };
    });
  }

  /** The same for files that come with their record, and perhaps with their name. */
  async add(
    fill: (files: SnapshotFiles) => Promise<{ name: string; record: SnapshotRecord }>,
  ): Promise<StoredSnapshot> {
    return await this.#make(fill);
  }

  /**
   * Calls `use` with names of files in a folder that is removed after. Machines may have them open for longer: no
   * process that has one of these in its arguments is taken for one that makes something.
   */
  async withScratch<T>(use: (files: SnapshotFiles) => Promise<T>): Promise<T> {
    const folder = join(this.#folder, `.scratch-${newId()}`);
    return await this.#withFolder(folder, () => use(filesIn(folder)));
  }

  /** Also one whose record cannot be read. Machines that were made from it have copies, and stay. */
  remove(name: string): void {
    this.#assertThere(name);
    // It is gone at once, and a crash leaves nothing that looks like one.
    const gone = stagingPath(join(this.#folder, name));
    renameSync(join(this.#folder, name), gone);
    rmSync(gone, { recursive: true, force: true });
  }

  assertFree(name: string): void {
    if (!existsSync(join(this.#folder, name))) return;
    throw new BangerError(
      "already_exists",
      `Cannot create snapshot "${name}": the name is already in use`,
      { hint: `Use a different name, or remove it first: banger vm snapshot rm ${name}` },
    );
  }

  /** What a process that is gone has left half-made. */
  leftovers(): string[] {
    if (this.#making > 0) return [];
    return this.#entries()
      .filter((name) => name.startsWith("."))
      .map((name) => join(this.#folder, name));
  }

  usage(): { count: number; size_bytes: number } {
    const names = this.#names();
    const size_bytes = names.reduce((sum, name) => sum + sizeOf(join(this.#folder, name)), 0);
    return { count: names.length, size_bytes };
  }

  async #make(
    fill: (files: SnapshotFiles) => Promise<{ name: string; record: SnapshotRecord }>,
  ): Promise<StoredSnapshot> {
    const staging = stagingPath(join(this.#folder, "new"));
    return await this.#withFolder(staging, async () => {
      const files = filesIn(staging);
      const { name, record } = await fill(files);
      writeFileAtomic(files.record, `${JSON.stringify(record)}\n`);
      seal(files);
      const stamps = { disk: stampOf(files.disk), memory: stampOf(files.memory) };
      writeFileAtomic(join(staging, NAMES.stamps), JSON.stringify(stamps));
      await syncTree(staging);
      this.assertFree(name);
      renameSync(staging, join(this.#folder, name));
      syncFolder(this.#folder);
      return this.find(name);
    });
  }

  /** Of no snapshot until it is given the name of one. */
  async #withFolder<T>(folder: string, use: () => Promise<T>): Promise<T> {
    this.#making++;
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      return await use();
    } finally {
      this.#making--;
      rmSync(folder, { recursive: true, force: true });
    }
  }

  #assertThere(name: string): void {
    if (this.#names().includes(name)) return;
    throw new BangerError("not_found", `no such snapshot "${name}"`, {
      hint: didYouMean(name, this.#names(), "List snapshots with: banger vm snapshot list"),
    });
  }

  #names(): string[] {
    return this.#entries()
      .filter((name) => !name.startsWith("."))
      .sort();
  }

  #entries(): string[] {
    return existsSync(this.#folder) ? readdirSync(this.#folder) : [];
  }
}

function filesIn(folder: string): SnapshotFiles {
  return {
    memory: join(folder, NAMES.memory),
    state: join(folder, NAMES.state),
    disk: join(folder, NAMES.disk),
    record: join(folder, NAMES.record),
  };
}

/** A copy of a disk has that disk's mode, and a time of its own tells whether it is written to. */
function seal({ disk, memory, state }: SnapshotFiles): void {
  const now = new Date();
  for (const path of [disk, memory, state].filter(existsSync)) {
    chmodSync(path, 0o600);
    utimesSync(path, now, now);
  }
}

function stampsIn(folder: string): z.infer<typeof stampsSchema> | undefined {
  try {
    return stampsSchema.parse(JSON.parse(readFileSync(join(folder, NAMES.stamps), "utf8")));
  } catch {
    return undefined;
  }
}

function stampOf(path: string): z.infer<typeof stamp> | undefined {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats && { size_bytes: stats.size, mtime_ms: stats.mtimeMs };
}

function sizeOf(folder: string): number {
  return readdirSync(folder)
    .map((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.blocks ?? 0)
    .reduce((sum, blocks) => sum + blocks * 512, 0);
}

function damaged(name: string, why: string, cause?: unknown): BangerError {
  return new BangerError("integrity", `Cannot use snapshot "${name}": ${why}`, {
    hint: `Remove it with: banger vm snapshot rm ${name}`,
    cause,
  });
}
