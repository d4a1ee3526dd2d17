/** The SQLite handle: WAL, foreign keys, and migrations that run in one transaction each. */
import { Database } from "bun:sqlite";
import { chmodSync, mkdirSync, renameSync } from "node:fs";
import { dirname } from "node:path";
import { BangerError, messageOf } from "#base/error.ts";
import { stagingPath } from "#base/files/atomic.ts";
import { migrations } from "./migrations.ts";

const BUSY_TIMEOUT_MS = 5000;

/** Opens the store and brings it up to date. A store of a newer banger is refused, never changed. */
export function openStore(path: string): Database {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const db = open(path);
  try {
    db.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    db.run("PRAGMA journal_mode = WAL");
    db.run("PRAGMA synchronous = FULL");
    db.run("PRAGMA foreign_keys = ON");
    chmodSync(path, 0o600);
    migrate(db, path);
    return db;
  } catch (error) {
    db.close();
    if (error instanceof BangerError) throw error;
    throw unusable(path, error);
  }
}

function open(path: string): Database {
  try {
    return new Database(path, { create: true, strict: true });
  } catch (error) {
    throw unusable(path, error);
  }
}

function unusable(path: string, cause: unknown): BangerError {
  return new BangerError("internal", `Cannot open the store ${path}: ${messageOf(cause)}`, {
    hint: `If it is damaged, move it away (mv ${path} ${path}.broken) and start again`,
    cause,
  });
}

/** The store as the older banger wrote it, for who wants to go back. */
function backUp(db: Database, { path, version }: { path: string; version: number }): void {
  const target = `${path}.v${version}`;
  const staging = stagingPath(target);
  db.query("VACUUM INTO $staging").run({ staging });
  chmodSync(staging, 0o600);
  renameSync(staging, target);
}

function migrate(db: Database, path: string): void {
  const row = db.query("PRAGMA user_version").get() as { user_version: number };
  const current = row.user_version;
  if (current > migrations.length) {
    throw new BangerError(
      "unsupported",
      `Cannot open the store ${path}: it has version ${current}, this banger knows ${migrations.length}`,
      { hint: "Install the newer banger again; it is the one that wrote this store" },
    );
  }
  if (current > 0 && current < migrations.length) backUp(db, { path, version: current });
  migrations.slice(current).forEach((sql, index) => {
    db.transaction(() => {
      db.run(sql);
      db.run(`PRAGMA user_version = ${current + index + 1}`);
    }).immediate();
  });
}
