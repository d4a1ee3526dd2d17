/** A store with one image in it, "img1", for records of machines. */
import type { Database } from "bun:sqlite";
import { afterEach, beforeEach } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { insertImage } from "#images/records.ts";
import { openStore } from "#store/db.ts";

export interface VmStore {
  /** Of the test that runs. */
  readonly db: Database;
}

/** Gives each test of a file a store of its own. */
export function vmStore(): VmStore {
  const store = {} as { -readonly [Name in keyof VmStore]: VmStore[Name] };
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "banger-vm-store-"));
    store.db = openStore(join(folder, "banger.db"));
    insertImage(store.db, {
      id: "img1",
      name: "debian-bookworm",
      reference: "docker.io/library/debian:bookworm",
      digest: "sha256:00",
      platform: "linux/amd64",
      size_bytes: 1,
      allocated_bytes: 1,
      layers: [],
      config: {},
      createdAt: "2026-01-01T00:00:00.000Z",
    });
  });
  afterEach(() => {
    store.db.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return store;
}
