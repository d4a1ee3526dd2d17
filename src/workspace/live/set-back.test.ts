/** What a mirror does with a machine that lost files by itself, and with a directory that is another one. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestRepository } from "#test/git-server.ts";
import { liveFolder } from "#test/workspace-live.ts";
import { readTree } from "#workspace/guest/tree-records.ts";
import { importWorkspace } from "#workspace/in/import.ts";
import { openWorkspace } from "#workspace/open.ts";
import { applyTo } from "#workspace/out/apply.ts";
import { exportTar } from "#workspace/out/export.ts";
import { folderStatus } from "#workspace/out/folder-status.ts";
import { readRecord } from "#workspace/record.ts";
import type { Direction } from "./compare.ts";
import { syncWorkspace } from "./sync.ts";

let place: string;
let count = 0;

beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), "banger-set-back-"));
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

async function setUp({ isRepository = true }: { isRepository?: boolean } = {}) {
  const folder = join(place, String(count++));
  const guest = liveFolder(join(folder, "guest"));
  const here = join(folder, "here");
  const record = join(folder, "record");
  const files = { "a.txt": "a\n", "b.txt": "b\n" };
  if (isRepository) new TestRepository(here).commit(files);
  else {
    mkdirSync(here, { recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(here, name), text);
  }
  await importWorkspace(guest, { vm: "vm", source: here, path: "/w", folder: record });
  const there = guest.at("/w");
  const saved = join(folder, "saved");
  return {
    ...{ folder, guest, here, there, record },
    /** As a snapshot does, or a kernel that writes to its disk. */
    save: () => cpSync(there, saved, { recursive: true, preserveTimestamps: true }),
    setBack() {
      rmSync(there, { recursive: true });
      cpSync(saved, there, { recursive: true, preserveTimestamps: true });
    },
    async apply() {
      const request = { path: "/w", record: readRecord(record), folder: record, source: here };
      using workspace = await openWorkspace(guest, { ...request, max_bytes: 2 ** 20 });
      const [capture] = workspace.repositories;
      if (!capture?.repository) throw new Error("no repository");
      const { repository } = capture;
      const scratch = mkdtempSync(join(folder, "apply-"));
      await applyTo(guest, { path: "/w", capture, repository, folder: scratch, isTrial: false });
    },
    async once(direction: Direction = "both") {
      const carried: string[] = [];
      await syncWorkspace(
        guest,
        { path: "/w", source: here, direction, folder: record, once: true },
        {
          signal: new AbortController().signal,
          onCarried: ({ kind, name }) => void carried.push(`${kind} ${name}`),
          onNote: (text) => void carried.push(text.split(":")[0] ?? ""),
        },
      );
      return carried.toSorted();
    },
  };
}

const NOTE = "The machine's files are not those of the last run";

for (const isRepository of [true, false]) {
  const what = isRepository ? "repository" : "directory";
  test(`a machine that is set back removes and reverts nothing of the host's ${what}`, async () => {
    const { here, there, save, setBack, once } = await setUp({ isRepository });
    save();
    writeFileSync(join(here, "new.txt"), "new\n");
    writeFileSync(join(here, "a.txt"), "edited\n");
    expect(await once()).toEqual(["sent a.txt", "sent new.txt"]);
    setBack();
    expect(await once()).toEqual([NOTE, "conflict a.txt", "sent a.txt", "sent new.txt"]);
    expect(readFileSync(join(here, "a.txt"), "utf8")).toBe("edited\n");
    expect(readFileSync(join(here, "new.txt"), "utf8")).toBe("new\n");
    expect(readFileSync(join(there, "a.txt"), "utf8")).toBe("edited\n");
    expect(readFileSync(join(there, "a.txt.conflict-vm"), "utf8")).toBe("a\n");
    // From here on it is as before.
    rmSync(join(there, "new.txt"));
    expect(await once()).toEqual(["removed-host new.txt"]);
  });
}

for (const direction of ["from-vm", "to-vm"] as const) {
  test(`a machine that is set back loses nothing: ${direction}`, async () => {
    const { here, there, save, setBack, once } = await setUp();
    save();
    writeFileSync(join(here, "new.txt"), "new\n");
    expect(await once()).toEqual(["sent new.txt"]);
    setBack();
    expect(await once(direction)).toEqual(direction === "to-vm" ? [NOTE, "sent new.txt"] : [NOTE]);
    expect(existsSync(join(here, "new.txt"))).toBe(true);
    expect(existsSync(join(there, "new.txt"))).toBe(direction === "to-vm");
  });
}

test.each(["missing", "empty"])("a mark that is %s: a part of the import was lost", async (how) => {
  const { here, there, once, apply } = await setUp();
  const marks = readdirSync(join(there, ".git")).filter((name) => name.startsWith(".banger-mark-"));
  expect(marks).toHaveLength(1);
  const path = join(there, ".git", marks[0] ?? "");
  if (how === "missing") rmSync(path);
  else truncateSync(path);
  rmSync(join(there, "b.txt"));
  await expect(apply()).rejects.toThrow("may have lost some of them");
  expect(await once()).toEqual([NOTE, "sent b.txt"]);
  expect(existsSync(join(here, "b.txt"))).toBe(true);
  await apply();
  rmSync(join(there, "b.txt"));
  expect(await once()).toEqual(["removed-host b.txt"]);
});

test("one mark is there, which is no change and is not mirrored", async () => {
  const { folder, guest, here, there, record, once } = await setUp({ isRepository: false });
  const marks = () => readdirSync(there).filter((name) => name.startsWith(".banger-mark-"));
  const [first] = marks();
  for (const name of ["c", "d"]) {
    writeFileSync(join(here, name), name);
    expect(await once()).toEqual([`sent ${name}`]);
  }
  expect(marks()).toHaveLength(1);
  expect(marks()).not.toEqual([first ?? ""]);
  // As a copy of the whole directory brings it.
  writeFileSync(join(here, first ?? ""), "");
  expect(await once()).toEqual([]);
  rmSync(join(here, first ?? ""));
  expect(readdirSync(here).toSorted()).toEqual(["a.txt", "b.txt", "c", "d"]);
  const tar = join(folder, "w.tar");
  const place = { path: "/w", record: undefined, folder: record, source: undefined };
  using workspace = await openWorkspace(guest, { ...place, max_bytes: 2 ** 20 });
  expect(await exportTar(guest, { path: "/w", workspace, file: tar })).toBe(4);
  const tree = await readTree(guest, "/w");
  expect(folderStatus(readRecord(record), tree ?? new Map())).toEqual([]);
});

test("a directory that was replaced, as by an unmount, removes nothing in the machine", async () => {
  const { folder, here, there, once } = await setUp({ isRepository: false });
  writeFileSync(join(here, "c"), "c");
  expect(await once()).toEqual(["sent c"]);
  renameSync(here, join(folder, "away"));
  mkdirSync(here);
  writeFileSync(join(here, "other"), "other");
  expect(await once()).toEqual(["fetched a.txt", "fetched b.txt", "fetched c", "sent other"]);
  expect(
    readdirSync(there)
      .filter((name) => !name.startsWith("."))
      .toSorted(),
  ).toEqual(["a.txt", "b.txt", "c", "other"]);
});

test("a directory that is replaced meanwhile ends the mirror", async () => {
  const { folder, guest, here, there, record } = await setUp();
  const settled = Promise.withResolvers<void>();
  const running = syncWorkspace(
    guest,
    { path: "/w", source: here, direction: "both", folder: record },
    {
      signal: new AbortController().signal,
      onCarried() {},
      onNote() {},
      onSettled: settled.resolve,
    },
  );
  await Promise.race([settled.promise, running]);
  renameSync(here, join(folder, "away"));
  mkdirSync(here);
  writeFileSync(join(here, "other"), "other");
  writeFileSync(join(there, "wakes"), "");
  await expect(running).rejects.toThrow("was removed or replaced");
  expect(readFileSync(join(there, "a.txt"), "utf8")).toBe("a\n");
  expect(readdirSync(here).toSorted()).toEqual(["other"]);
});
