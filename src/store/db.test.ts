import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openStore } from "./db.ts";
import { migrations } from "./migrations.ts";

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
