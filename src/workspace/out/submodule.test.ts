/** Submodules that are at another commit: in diffs, and in what is applied. A directory stands in for the machine. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestRepository } from "#test/git-server.ts";
import { gitIn } from "#test/workspace-compare.ts";
import { folderGuest } from "#test/workspace-folder.ts";
import { submoduleStates } from "#test/workspace-submodules.ts";
import { importWorkspace } from "#workspace/in/import.ts";
import { type Captured, openWorkspace } from "#workspace/open.ts";
import { readRecord } from "#workspace/record.ts";
import { applyTo } from "./apply.ts";
import { diffOf } from "./report.ts";

let place: string;

beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), "banger-submodule-"));
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

const diff = (capture: Captured) =>
  diffOf(capture, { base: "import", staged: false, color: false, args: [] });

test("a submodule's commit is a change from when it was made in the machine", async () => {
  const state = submoduleStates.find(({ name }) => name === "submodule with new commits");
  const repo = new TestRepository(join(place, "repo"));
  state?.make(repo);
  const guest = folderGuest(join(place, "guest"));
  const record = join(place, "record");
  await importWorkspace(guest, { vm: "vm", source: repo.path, path: "/w", folder: record });
  const open = async () => {
    const request = { path: "/w", record: readRecord(record), folder: record, source: repo.path };
    const workspace = await openWorkspace(guest, { ...request, max_bytes: 2 ** 20 });
    const [capture] = workspace.repositories;
    if (!capture?.repository) throw new Error("no repository");
    return { workspace, capture, repository: capture.repository };
  };
  {
    const { workspace, capture } = await open();
    using _ = workspace;
    expect(await diff(capture)).toBe("");
  }
  const lib = guest.at("/w/lib");
  const before = gitIn(lib, "rev-parse", "HEAD").stdout.trim();
  writeFileSync(join(lib, "inner.txt"), "inside\n");
  gitIn(lib, "-c", "user.name=in", "-c", "user.email=in@e", "commit", "-q", "-a", "-m", "in");
  const after = gitIn(lib, "rev-parse", "HEAD").stdout.trim();
  const { workspace, capture, repository } = await open();
  using _ = workspace;
  const patch = await diff(capture);
  expect(patch).toContain(`-Subproject commit ${before}\n+Subproject commit ${after}\n`);
  const { scratch: folder } = workspace;
  const applied = await applyTo(guest, { path: "/w", capture, repository, folder, isTrial: false });
  expect(applied).toEqual({
    changed: [],
    removed: [],
    merged: [],
    submodules: ["lib"],
    continues: false,
  });
});
