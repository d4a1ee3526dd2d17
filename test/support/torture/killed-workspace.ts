/**
 * One command on a workspace, as a process that can be killed at each of its steps: calls of the file system, starts of
 * programs, and chunks that its machine takes. `test/torture/workspace-killed.test.ts` bundles it with counted steps.
 * Its process group goes with it, so that git and tar end in the middle of what they do.
 */
import { join } from "node:path";
import { liveFolder } from "#test/workspace-live.ts";
import { createCheckpoint } from "#workspace/checkpoint/create.ts";
import { restoreCheckpoint } from "#workspace/checkpoint/restore.ts";
import { openRepository } from "#workspace/git/source.ts";
import { importWorkspace } from "#workspace/in/import.ts";
import { syncWorkspace } from "#workspace/live/sync.ts";
import { type Captured, type OpenWorkspace, openWorkspace } from "#workspace/open.ts";
import { applyTo } from "#workspace/out/apply.ts";
import { exportBundle, exportTar } from "#workspace/out/export.ts";
import { fetchInto } from "#workspace/out/fetch.ts";
import { readRecord } from "#workspace/record.ts";

const MAX_BYTES = 64 * 1024 * 1024;
const [, , op = "", folder = "", at = "0", delay_ms = "0"] = process.argv;
const source = join(folder, "repo");
const record = join(folder, "record");
const path = "/w";
const guest = liveFolder(join(folder, "guest"));

let steps = 0;

/** Called by the file system that this is bundled with. */
function step(): void {
  if (++steps !== Number(at)) return;
  // What was started before it is in the middle of something by then.
  if (delay_ms !== "0") Bun.sleepSync(Number(delay_ms));
  process.kill(0, "SIGKILL");
}
Object.assign(globalThis, { stepOfTest: step });
const spawn = Bun.spawn;
Object.assign(Bun, {
  spawn(...args: Parameters<typeof spawn>) {
    const child = spawn(...args);
    step();
    return child;
  },
});
guest.onChunk = step;

async function withWorkspace(
  work: (workspace: OpenWorkspace, capture: Captured) => Promise<unknown>,
): Promise<void> {
  const request = { path, record: readRecord(record), folder: record, source };
  using workspace = await openWorkspace(guest, { ...request, max_bytes: MAX_BYTES });
  const [capture] = workspace.repositories;
  if (!capture) throw new Error("no repository in the machine");
  await work(workspace, capture);
}

const OPS: Record<string, () => Promise<unknown>> = {
  import: () => importWorkspace(guest, { vm: "vm", source, path, folder: record }),
  fetch: () =>
    withWorkspace(async ({ scratch }, capture) => {
      const options = { prefix: "refs/banger/vm", scratch: join(scratch, "f") };
      const repository = await openRepository(source);
      await fetchInto(repository, capture, { ...options, max_bytes: MAX_BYTES });
    }),
  apply: () =>
    withWorkspace(async ({ scratch }, capture) => {
      const repository = await openRepository(source);
      await applyTo(guest, { path, capture, repository, folder: scratch, isTrial: false });
    }),
  tar: () =>
    withWorkspace((workspace) =>
      exportTar(guest, { path, workspace, file: join(folder, "out/work.tar") }),
    ),
  bundle: () =>
    withWorkspace((_, capture) => exportBundle(capture, join(folder, "out/work.bundle"))),
  checkpoint: () =>
    withWorkspace((workspace) => createCheckpoint(guest, { path, workspace }, { message: "m" })),
  restore: () => withWorkspace((workspace) => restoreCheckpoint(guest, { path, workspace }, 1)),
  sync: () =>
    syncWorkspace(
      guest,
      { path, source, direction: "both", folder: record, once: true },
      { signal: new AbortController().signal, onCarried() {}, onNote() {} },
    ),
};

await OPS[op]?.();
console.log(steps);
