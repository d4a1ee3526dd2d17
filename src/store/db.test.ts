import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listImages } from "#images/records.ts";
import { getVm } from "#vm/records.ts";
import { migrate, openStore } from "./db.ts";
import { migrations } from "./migrations.ts";

/** As the first banger wrote it. */
const oldSpec = {
  mode: "systemd",
  cpus: 2,
  memory_mib: 512,
  disk_bytes: 1 << 30,
  network: "nat",
  address: "10.241.0.2",
  mac: "02:00:00:00:00:01",
  machineId: "0".repeat(32),
  env: { A: "b" },
};

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-store-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("openStore() makes the schema once, for the owner alone, and opens it again", () => {
  const path = join(folder, "new", "banger.db");
  openStore(path).close();
  const db = openStore(path);
  expect(db.query("PRAGMA user_version").get()).toEqual({ user_version: migrations.length });
  expect(db.query("PRAGMA journal_mode").get()).toEqual({ journal_mode: "wal" });
  db.close();
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test("openStore() refuses a newer store and leaves it alone", () => {
  const path = join(folder, "banger.db");
  const newer = new Database(path, { create: true });
  newer.run("PRAGMA user_version = 999");
  newer.close();
  expect(() => openStore(path)).toThrow("it has version 999");
});

test("openStore() keeps an older store beside the one that it brings up to date", () => {
  const path = join(folder, "banger.db");
  const older = new Database(path, { create: true });
  migrations[0]?.(older);
  older.run("PRAGMA user_version = 1");
  older.close();
  openStore(path).close();
  const kept = new Database(`${path}.v1`, { readonly: true });
  expect(kept.query("PRAGMA user_version").get()).toEqual({ user_version: 1 });
  expect(kept.query("SELECT count(*) AS machines FROM vms").get()).toEqual({ machines: 0 });
  kept.close();
  expect(statSync(`${path}.v1`).mode & 0o777).toBe(0o600);
  openStore(path).close();
});

test.each(migrations.map((_, index) => index + 1))(
  "openStore() migrates a store of version %i, and its records are read",
  (version) => {
    const path = join(folder, "banger.db");
    const older = new Database(path, { create: true, strict: true });
    for (const step of migrations.slice(0, version)) step(older);
    older.run(`PRAGMA user_version = ${version}`);
    older.run(`INSERT INTO images VALUES ('img1', 'debian', 1, 'docker.io/library/debian:bookworm', 'sha256:00', NULL,
    NULL, 'linux/amd64', NULL, '{"rootfs":"rootfs.ext4"}', 1, 1, '[]', '{"cmd":["bash"]}', '[]', NULL, '2026-01-01T00:00:00.000Z')`);
    older
      .query(
        `INSERT INTO vms (id, name, state, image_id, kernel, spec, created_at)
     VALUES ('abcdefgh', 'one', 'stopped', 'img1', 'generic-6.12', $spec, '2026-01-01T00:00:00.000Z')`,
      )
      .run({ spec: JSON.stringify(oldSpec) });
    older.close();
    const db = openStore(path);
    expect(db.query("PRAGMA user_version").get()).toEqual({ user_version: migrations.length });
    expect(getVm(db, "one")).toMatchObject({ image: "debian", spec: oldSpec });
    expect(listImages(db)).toMatchObject([{ name: "debian", config: { cmd: ["bash"] } }]);
    db.close();
  },
);

test("a migration that fails leaves the store as it was, and one that succeeds can change JSON", () => {
  const path = join(folder, "banger.db");
  const db = openStore(path);
  db.run("CREATE TABLE notes (text TEXT NOT NULL) STRICT");
  db.run(`INSERT INTO notes VALUES ('{"a":1}')`);
  const broken = (each: Database): void => {
    each.run("DELETE FROM notes");
    throw new Error("no such luck");
  };
  expect(() => migrate(db, path, [...migrations, broken])).toThrow("no such luck");
  expect(db.query("SELECT count(*) AS notes FROM notes").get()).toEqual({ notes: 1 });
  expect(db.query("PRAGMA user_version").get()).toEqual({ user_version: migrations.length });
  const renaming = (each: Database): void => {
    each.run("UPDATE notes SET text = json_object('b', text ->> '$.a')");
  };
  migrate(db, path, [...migrations, renaming]);
  expect(db.query("SELECT text FROM notes").get()).toEqual({ text: '{"b":1}' });
  expect(db.query("PRAGMA user_version").get()).toEqual({ user_version: migrations.length + 1 });
  db.close();
});

test("openStore() says what to do with a damaged store", () => {
  const path = join(folder, "banger.db");
  writeFileSync(path, "this is no database, and it is long enough to be read as one".repeat(50));
  try {
    openStore(path);
    expect.unreachable();
  } catch (error) {
    expect(error).toMatchObject({ code: "internal", hint: expect.stringContaining("mv ") });
  }
});
