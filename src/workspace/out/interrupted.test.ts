/** What a killed command has left, for the next one. A directory stands in for the machine. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestRepository } from "#test/git-server.ts";
import { folderGuest } from "#test/workspace-folder.ts";
import { openRepository } from "#workspace/git/source.ts";
import { importWorkspace } from "#workspace/in/import.ts";
import { openWorkspace } from "#workspace/open.ts";
import { readRecord } from "#workspace/record.ts";
import { stagingName } from "#workspace/staging.ts";
import { applyTo } from "./apply.ts";
import { fetchInto } from "./fetch.ts";

const MAX_BYTES = 2 ** 20;
let place: string;
let count = 0;

beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), "banger-interrupted-"));
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

async function setUp() {
  const folder = join(place, String(count++));
  const guest = folderGuest(join(folder, "guest"));
  const repo = new TestRepository(join(folder, "repo"));
  repo.commit({ "a.txt": "a\n", "b.txt": "b\n" });
  const record = join(folder, "record");
  const bring = () =>
    importWorkspace(guest, { vm: "vm", source: repo.path, path: "/w", folder: record });
  await bring();
  const open = async () => {
    const request = { path: "/w", record: readRecord(record), folder: record, source: repo.path };
    const workspace = await openWorkspace(guest, { ...request, max_bytes: MAX_BYTES });
    const [capture] = workspace.repositories;
    if (!capture) throw new Error("no repository");
    return { workspace, capture, repository: await openRepository(repo.path) };
  };
  const apply = async () => {
    const { workspace, capture, repository } = await open();
    using _ = workspace;
    const { scratch: folder } = workspace;
    return await applyTo(guest, { path: "/w", capture, repository, folder, isTrial: false });
  };
  return { guest, repo, bring, open, apply, there: guest.at("/w") };
}

test("an apply after an import that was interrupted does not undo what was not sent", async () => {
  const { guest, repo, bring, apply } = await setUp();
  writeFileSync(join(repo.path, "a.txt"), "later\n");
  guest.onChunk = () => {
    throw new Error("cut off");
  };
  await expect(bring()).rejects.toThrow("cut off");
  await expect(apply()).rejects.toThrow("the last import was interrupted");
  expect(readFileSync(join(repo.path, "a.txt"), "utf8")).toBe("later\n");
  guest.onChunk = undefined;
  await bring();
  expect(await apply()).toMatchObject({ changed: [], removed: [] });
});

test("an apply continues one that was killed", async () => {
  const { repo, apply, there } = await setUp();
  writeFileSync(join(there, "a.txt"), "inside\n");
  const left = stagingName("apply").replace(/-\d+-([0-9a-f]{8})$/, "-1-$1");
  writeFileSync(join(repo.path, ".git", left), "half");
  expect(await apply()).toMatchObject({ changed: ["a.txt"], continues: true });
  expect(readdirSync(join(repo.path, ".git")).filter((name) => name.includes("banger"))).toEqual(
    [],
  );
  expect(readFileSync(join(repo.path, "a.txt"), "utf8")).toBe("inside\n");
});

test("a fetch goes on where a git was killed that had locked its refs", async () => {
  const { repo, open } = await setUp();
  const fetch = async () => {
    const { workspace, capture, repository } = await open();
    using _ = workspace;
    const scratch = join(workspace.scratch, "f");
    return await fetchInto(repository, capture, {
      ...{ prefix: "refs/banger/vm", scratch, max_bytes: MAX_BYTES },
    });
  };
  await fetch();
  repo.git("update-ref", "refs/banger/vm/HEAD", repo.commit({ "c.txt": "c\n" }));
  const lock = join(repo.path, ".git/refs/banger/vm/HEAD.lock");
  writeFileSync(lock, "");
  utimesSync(lock, 1_700_000_000, 1_700_000_000);
  const { refs } = await fetch();
  expect(refs.map(({ name }) => name)).toContain("refs/banger/vm/HEAD");
  expect(repo.git("rev-parse", "refs/banger/vm/HEAD")).toBe(repo.git("rev-parse", "HEAD~1"));
});
