/**
 * The store's schema, step by step; the database's user_version counts the steps that
 * have run. A step that has been released is never changed: a new one is added.
 */
export const migrations: readonly string[] = [
  `
  CREATE TABLE images (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    reference TEXT NOT NULL,
    digest TEXT NOT NULL,
    platform TEXT NOT NULL,
    kernel TEXT,
    size_bytes INTEGER NOT NULL,
    allocated_bytes INTEGER NOT NULL,
    layers INTEGER NOT NULL,
    config TEXT NOT NULL,
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
  `,
];
