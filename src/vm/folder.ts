/** Creates a machine's directory, writable layer and host key. */
import { mkdirSync } from "node:fs";
import { sha256 } from "#base/digest.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { copySparse } from "#base/files/copy-file.ts";
import { generateHostKey } from "#config/ssh-key.ts";
import { formatEmpty } from "#ext4/empty/empty.ts";
import type { VmDeps } from "./deps.ts";
import type { VmRecord } from "./records.ts";

/** `disk`: of a stopped machine, to start from in place of an empty one. */
export async function makeFolder(
  { config }: VmDeps,
  { id, name, spec }: VmRecord,
  { disk, signal }: { disk?: string; signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const paths = config.paths.vm(id);
  mkdirSync(paths.folder, { recursive: true, mode: 0o700 });
  if (disk) await copySparse(disk, paths.disk, { signal });
  else await makeDisk({ config }, { id, spec });
  writeFileAtomic(paths.hostKey, generateHostKey(name).private);
}

/** An empty writable layer. */
export async function makeDisk(
  { config }: Pick<VmDeps, "config">,
  { id, spec }: Pick<VmRecord, "id" | "spec">,
): Promise<void> {
  await formatEmpty(config.paths.vm(id).disk, {
    size_bytes: spec.disk_bytes,
    seed: sha256(id),
    label: "banger",
  });
}
