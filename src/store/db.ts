/** The SQLite handle: WAL, foreign keys, and migrations that run in one transaction each. */
import { Database } from "bun:sqlite";
import { chmodSync, existsSync, mkdirSync, renameSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import { BangerError, messageOf } from "#base/error.ts";
import { stagingPath } from "#base/files/atomic.ts";
import { type Migration, migrations } from "./migrations.ts";

const userVersion = z.object({ user_version: z.int() });

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

/**
 * The store as it is, for reading only, beside a daemon that has it open. Undefined where there is
 * none, or one of another version.
 */
export function openStoreReadOnly(path: string): Database | undefined {
  if (!existsSync(path)) return undefined;
  let db: Database;
  try {
    db = new Database(path, { readonly: true, strict: true });
  } catch (error) {
    throw unusable(path, error);
  }
  try {
    db.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    if (versionOf(db) === migrations.length) return db;
    db.close();
    return undefined;
  } catch (error) {
    db.close();
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
  return new BangerError("internal", `Cannot open the database ${path}: ${messageOf(cause)}`, {
    hint: `If it is corrupt, move it away: mv ${path} ${path}.broken`,
    cause,
  });
}

/** The store as the older banger wrote it, for going back to it. */
function backUp(db: Database, { path, version }: { path: string; version: number }): void {
  const target = `${path}.v${version}`;
  const staging = stagingPath(target);
  db.query("VACUUM INTO $staging").run({ staging });
  chmodSync(staging, 0o600);
  renameSync(staging, target);
}

function versionOf(db: Database): number {
  return userVersion.parse(db.query("PRAGMA user_version").get()).user_version;
}

/** Runs the steps that the store has not had yet, each in a transaction with its number. */
export function migrate(
  db: Database,
  path: string,
  steps: readonly Migration[] = migrations,
): void {
  const current = versionOf(db);
  if (current > steps.length) {
    throw new BangerError(
      "unsupported",
      `Cannot open the store ${path}: it has version ${current}, this banger knows ${steps.length}`,
      { hint: "Install the newer banger that wrote this database" },
    );
  }
  if (current > 0 && current < steps.length) backUp(db, { path, version: current });
  steps.slice(current).forEach((step, index) => {
    db.transaction(() => {
      step(db);
      db.run(`PRAGMA user_version = ${current + index + 1}`);
    }).immediate();
  });
}
