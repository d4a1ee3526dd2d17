/** Creates a machine's directory, writable layer and host key. */
import { existsSync, mkdirSync } from "node:fs";
import { sha256 } from "#base/digest.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { copySparse } from "#base/files/copy-file.ts";
import { generateHostKey } from "#config/ssh-key.ts";
import { formatEmpty } from "#ext4/empty/empty.ts";
import type { VmDeps } from "./deps.ts";
import type { VmRecord } from "./records.ts";

export interface FolderOptions {
  /** Of a stopped machine, to start from in place of an empty one. */
  disk?: string;
  /** Its first start makes the disk, or has another one for it. */
  isDiskLater?: boolean;
  signal?: AbortSignal | undefined;
}

export async function makeFolder(
  { config }: VmDeps,
  { id, name, spec }: VmRecord,
  { disk, isDiskLater, signal }: FolderOptions = {},
): Promise<void> {
  const paths = config.paths.vm(id);
  mkdirSync(paths.folder, { recursive: true, mode: 0o700 });
  if (disk) await copySparse(disk, paths.disk, { signal });
  else if (!isDiskLater) await ensureDisk({ config }, { id, spec });
  writeFileAtomic(paths.hostKey, generateHostKey(name).private);
}

/** An empty writable layer, where there is none. */
export async function ensureDisk(
  { config }: Pick<VmDeps, "config">,
  { id, spec }: Pick<VmRecord, "id" | "spec">,
): Promise<void> {
  const { disk } = config.paths.vm(id);
  if (existsSync(disk)) return;
  await formatEmpty(disk, {
    size_bytes: spec.disk_bytes,
    seed: sha256(id),
    label: "banger",
  });
}
