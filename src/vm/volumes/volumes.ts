/** Volumes: disks with a life of their own. The only place that writes the `volumes` table. */
import type { Database } from "bun:sqlite";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, truncateSync } from "node:fs";
import { basename } from "node:path";
import { z } from "zod";
import { type Volume, volumeName } from "#api/mount/mount.ts";
import { sha256 } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { STAGING_MARK } from "#base/files/atomic.ts";
import { canHaveSize } from "#base/files/file-size.ts";
import { newId } from "#base/id.ts";
import { didYouMean } from "#base/similar.ts";
import { formatSize } from "#base/size.ts";
import type { Paths } from "#config/paths.ts";
import { formatEmpty } from "#ext4/empty/empty.ts";
import { listVms, type VmRecord } from "#vm/records.ts";
import { holdersOf } from "./hold.ts";

/** A file that is being made is left alone for so long. */
const STAGING_MAX_MS = 3_600_000;
const LABEL_MAX_BYTES = 16;

const volumeRow = z.object({
  id: z.string(),
  name: volumeName,
  size_bytes: z.int(),
  token: z.string().nullable(),
  created_at: z.iso.datetime(),
});
type VolumeRow = z.infer<typeof volumeRow>;

export interface NewVolume {
  name: string;
  size_bytes?: number | undefined;
  token?: string | undefined;
}

interface VolumesConfig {
  paths: Pick<Paths, "volumes" | "volume">;
  values: { "vm.disk": number };
}

export class Volumes {
  readonly #db: Database;
  readonly #config: VolumesConfig;

  constructor({ db, config }: { db: Database; config: VolumesConfig }) {
    this.#db = db;
    this.#config = config;
  }

  list(): Volume[] {
    const machines = listVms(this.#db);
    return this.#rows().map((row) => this.#toApi(row, machines));
  }

  /** `not_found`, with the names that are like it. */
  show(name: string): Volume {
    return this.#toApi(this.#get(name), listVms(this.#db));
  }

  find(name: string): Volume | undefined {
    const row = this.#find(name);
    return row && this.#toApi(row, listVms(this.#db));
  }

  usage(): { count: number; size_bytes: number } {
    const rows = this.#rows();
    const size_bytes = rows.reduce((sum, row) => sum + this.#allocated_bytes(row), 0);
    return { count: rows.length, size_bytes };
  }

  /** `already_exists` when there is one of that name. */
  async create({ name, size_bytes, token }: NewVolume): Promise<Volume> {
    if (this.#find(name)) throw exists(name);
    const id = newId();
    const path = this.#config.paths.volume(id);
    mkdirSync(this.#config.paths.volumes, { recursive: true, mode: 0o700 });
    const size = size_bytes ?? this.#config.values["vm.disk"];
    const label = Buffer.from(name).subarray(0, LABEL_MAX_BYTES).toString("latin1");
    await formatEmpty(path, { size_bytes: size, seed: sha256(id), label });
    const { changes } = this.#db
      .query(
        `INSERT INTO volumes (id, name, size_bytes, token, created_at)
         VALUES ($id, $name, $size, $token, $createdAt) ON CONFLICT DO NOTHING`,
      )
      .run({ id, name, size, token: token ?? null, createdAt: new Date().toISOString() });
    if (changes > 0) return this.show(name);
    rmSync(path, { force: true });
    throw exists(name);
  }

  /** Creates those that do not exist. */
  async ensure(names: readonly string[], token: string | undefined): Promise<void> {
    for (const name of new Set(names)) {
      if (this.#find(name)) continue;
      await this.create({ name, token }).catch((error: unknown) => {
        // Another machine was faster.
        if (!this.#find(name)) throw error;
      });
    }
  }

  /** The file and its size. */
  diskOf(name: string): { path: string; size_bytes: number } {
    const { id, size_bytes } = this.#get(name);
    const path = this.#config.paths.volume(id);
    if (existsSync(path)) return { path, size_bytes };
    throw new BangerError("not_found", `Cannot use volume "${name}": missing file ${path}`, {
      hint: `Remove it with: banger volume rm ${name}`,
    });
  }

  /** Of one that no machine runs or sleeps with; its file system follows when it is next mounted for writing. */
  grow(name: string, size_bytes: number): Volume {
    return this.#db
      .transaction(() => {
        const [holder] = holdersOf(this.#db, name);
        if (holder) throw heldBy(name, holder);
        this.assertGrows(name, size_bytes);
        truncateSync(this.diskOf(name).path, size_bytes);
        return this.setSize(name, size_bytes);
      })
      .immediate();
  }

  /** `invalid_argument` for a size that is smaller, `unsupported` for one that no file of the host can have. */
  assertGrows(name: string, size_bytes: number): void {
    const present = this.#get(name).size_bytes;
    const { path } = this.diskOf(name);
    if (size_bytes >= present && canHaveSize(path, size_bytes)) return;
    if (size_bytes >= present) {
      throw new BangerError(
        "unsupported",
        `Cannot resize volume "${name}" to ${formatSize(size_bytes)}: too large for the file system of "${path}"`,
        { hint: "Use a smaller size" },
      );
    }
    throw new BangerError(
      "invalid_argument",
      `Cannot shrink volume "${name}" from ${formatSize(present)} to ${formatSize(size_bytes)}`,
      { hint: "Volumes can only grow; create a smaller one and copy your files" },
    );
  }

  /** For whoever has made its file that large. */
  setSize(name: string, size_bytes: number): Volume {
    const { id } = this.#get(name);
    this.#db.query("UPDATE volumes SET size_bytes = $size WHERE id = $id").run({
      id,
      size: size_bytes,
    });
    return this.show(name);
  }

  /** `invalid_state` while machines mount it, running or not. */
  remove(name: string): void {
    this.#db
      .transaction(() => {
        const { id, machines } = { ...this.#get(name), ...this.show(name) };
        if (machines.length > 0) throw inUse(name, machines);
        this.#erase(id);
      })
      .immediate();
  }

  /** Those that no machine mounts; gives their names. */
  prune(): string[] {
    return this.#db
      .transaction(() => {
        const used = new Set(
          listVms(this.#db).flatMap(({ spec }) => spec.volumes?.map((each) => each.volume) ?? []),
        );
        const unused = this.#rows().filter(({ name }) => !used.has(name));
        for (const { id } of unused) this.#erase(id);
        return unused.map(({ name }) => name);
      })
      .immediate();
  }

  /** Files without a record, which a crash has left. */
  leftovers(): string[] {
    const { volumes, volume } = this.#config.paths;
    if (!existsSync(volumes)) return [];
    const names = readdirSync(volumes);
    const known = new Set(this.#rows().map(({ id }) => basename(volume(id))));
    const isOld = (path: string): boolean => {
      const stat = statSync(path, { throwIfNoEntry: false });
      return stat !== undefined && Date.now() - stat.mtimeMs > STAGING_MAX_MS;
    };
    return names
      .filter((name) => !known.has(name) && (/\.ext4$/.test(name) || name.includes(STAGING_MARK)))
      .map((name) => `${volumes}/${name}`)
      .filter(isOld);
  }

  #erase(id: string): void {
    this.#db.query("DELETE FROM volumes WHERE id = $id").run({ id });
    rmSync(this.#config.paths.volume(id), { force: true });
  }

  #rows(): VolumeRow[] {
    return z.array(volumeRow).parse(this.#db.query("SELECT * FROM volumes ORDER BY name").all());
  }

  #find(name: string): VolumeRow | undefined {
    return this.#rows().find((row) => row.name === name);
  }

  #get(name: string): VolumeRow {
    const row = this.#find(name);
    if (row) return row;
    const names = this.#rows().map((each) => each.name);
    throw new BangerError("not_found", `no such volume "${name}"`, {
      hint: didYouMean(name, names, "List volumes with: banger volume list"),
    });
  }

  #allocated_bytes({ id }: VolumeRow): number {
    const stat = statSync(this.#config.paths.volume(id), { throwIfNoEntry: false });
    return (stat?.blocks ?? 0) * 512;
  }

  #toApi(row: VolumeRow, machines: ReturnType<typeof listVms>): Volume {
    const mounting = machines.filter(({ spec }) =>
      spec.volumes?.some((each) => each.volume === row.name),
    );
    return {
      name: row.name,
      size_bytes: row.size_bytes,
      allocated_bytes: this.#allocated_bytes(row),
      machines: mounting.map(({ name }) => name),
      createdAt: row.created_at,
      token: row.token ?? undefined,
    };
  }
}

function exists(name: string): BangerError {
  return new BangerError("already_exists", `Cannot create volume "${name}": it exists already`, {
    hint: `Show it with: banger volume show ${name}`,
  });
}

function heldBy(name: string, { name: machine, state }: VmRecord): BangerError {
  return new BangerError(
    "conflict",
    `Cannot resize volume "${name}": in use by machine "${machine}", which is ${state}`,
    { hint: `Stop that machine first: banger vm stop ${machine}` },
  );
}

function inUse(name: string, machines: readonly string[]): BangerError {
  return new BangerError(
    "invalid_state",
    `Cannot remove volume "${name}": in use by ${machines.join(", ")}`,
    { hint: `Remove the machines first: banger vm rm ${machines.join(" ")}` },
  );
}
