/**
 * The migrations of the store's schema; the database's user_version counts those applied. A released migration is
 * never changed: a new one is added.
 */
import type { Database } from "bun:sqlite";

/** Runs in a transaction of its own. It can change JSON as well as tables. */
export type Migration = (db: Database) => void;

const sql = (statements: string): Migration => {
  return (db) => {
    db.run(statements);
  };
};

export const migrations: readonly Migration[] = [
  sql(`
  CREATE TABLE images (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- 0: its files are the user's and stay where they are.
    managed INTEGER NOT NULL,
    reference TEXT NOT NULL,
    digest TEXT NOT NULL,
    -- What the reference meant when it was pulled: the digest of an index, or of the manifest.
    root_digest TEXT,
    config_digest TEXT,
    platform TEXT NOT NULL,
    kernel TEXT,
    -- JSON: paths of rootfs, kernel, initrd, modules, workSeed; those of banger's own are below the image's folder.
    files TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    allocated_bytes INTEGER NOT NULL,
    -- JSON, lowest first: digest, diffId, size_bytes, mediaType.
    layers TEXT NOT NULL,
    config TEXT NOT NULL,
    history TEXT NOT NULL,
    built_at TEXT,
    created_at TEXT NOT NULL
  ) STRICT;

  CREATE TABLE vms (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    image_id TEXT NOT NULL REFERENCES images (id),
    kernel TEXT NOT NULL,
    spec TEXT NOT NULL,
    -- JSON of what the running machine holds: process, network; NULL when it holds nothing.
    runtime TEXT,
    exit TEXT,
    warning TEXT,
    created_at TEXT NOT NULL,
    started_at TEXT
  ) STRICT;
  CREATE INDEX vms_image ON vms (image_id);
  `),
  sql(`
  -- What is wanted of the machine: 'create' until it has been made whole, 'run' while it is to
  -- run, NULL otherwise. It decides what becomes of it after a crash.
  ALTER TABLE vms ADD COLUMN intent TEXT;
  `),
  sql(`
  -- Read-only layers with what a first boot installed on an image. The newest one whose first_boot is
  -- that of this program is for new machines; the spec of a machine that stands on one has its id.
  CREATE TABLE provisioned_layers (
    id TEXT PRIMARY KEY,
    image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    -- What made it: the digest of the first-boot script.
    first_boot TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    allocated_bytes INTEGER NOT NULL,
    created_at TEXT NOT NULL
  ) STRICT;
  CREATE INDEX provisioned_layers_image ON provisioned_layers (image_id);
  `),
  sql(`
  -- Named networks. The machines that are on one say so in their specs.
  CREATE TABLE networks (
    name TEXT PRIMARY KEY,
    created_at TEXT NOT NULL
  ) STRICT;
  `),
  sql(`
  -- JSON: the process that runs the machine in the foreground; NULL where the daemon does.
  ALTER TABLE vms ADD COLUMN owner TEXT;
  `),
  sql(`
  -- For the API on TCP. The token itself is not stored.
  CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    hash TEXT NOT NULL UNIQUE,
    scope TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT,
    used_at TEXT
  ) STRICT;
  -- Id of the token that the machine belongs to, which may be gone; NULL for the user's own.
  ALTER TABLE vms ADD COLUMN token TEXT;
  `),
  sql(`
  -- Disks with a life of their own. The machines that mount one say so in their specs.
  CREATE TABLE volumes (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    size_bytes INTEGER NOT NULL,
    -- Id of the token that made it; NULL for the user.
    token TEXT,
    created_at TEXT NOT NULL
  ) STRICT;
  `),
];
