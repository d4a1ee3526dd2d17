/** Snapshots as files: whole or not there, found by name, and told when they were changed. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Header, pack } from "tar-stream";
import { KiB, MiB } from "#base/size.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { exportSnapshot, importSnapshot } from "./archive.ts";
import { PartsHash } from "./parts-hash.ts";
import type { SnapshotDescription, SnapshotRecord } from "./record.ts";
import { type SnapshotFiles, Snapshots, type StoredSnapshot } from "./snapshots.ts";

const DISK_BYTES = 16 * MiB;
const MEMORY_MIB = 64;

let folder: string;
let snapshots: Snapshots;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-snapshots-"));
  snapshots = new Snapshots(join(folder, "all"));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

const description: SnapshotDescription = {
  machine: { id: "ejdtsfa7vrng", name: "box" },
  image: { id: "m5h168dfe3mr", name: "debian" },
  kernel: "generic",
  spec: {
    mode: "direct",
    cpus: 1,
    memory_mib: MEMORY_MIB,
    disk_bytes: DISK_BYTES,
    network: "none",
    env: {},
  },
  lowers: 0,
  memory: { driver: "qemu", snapshotKey: "key" },
};

/** Data at both ends and a hole between. */
function sparse(path: string, size: number): void {
  writeFileSync(path, Buffer.alloc(8 * KiB, path));
  truncateSync(path, size);
  const end = Buffer.alloc(4 * KiB, "end");
  truncateSync(path, size - end.length);
  appendFileSync(path, end);
}

async function fill({ disk, memory, state }: SnapshotFiles): Promise<SnapshotDescription> {
  sparse(disk, DISK_BYTES);
  sparse(memory, MEMORY_MIB * MiB);
  writeFileSync(state, "the state");
  return description;
}

const refusal = (work: () => unknown) => bangerErrorOf(Promise.resolve().then(work));
const make = (name: string) => snapshots.create(name, fill);

test("one appears whole, for its owner alone, or not at all", async () => {
  const made = await make("one");
  expect(made.record.memory?.stateDigest).toMatch(/^sha256:/);
  expect(snapshots.list().map(({ name }) => name)).toEqual(["one"]);
  for (const path of Object.values(made.files)) expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(made.size_bytes).toBeLessThan(MiB);
  expect((await bangerErrorOf(make("one"))).code).toBe("already_exists");
  const failing = snapshots.create("two", async ({ disk }) => {
    writeFileSync(disk, "half");
    throw new Error("no");
  });
  await expect(failing).rejects.toThrow("no");
  expect(readdirSync(join(folder, "all"))).toEqual(["one"]);
  expect((await refusal(() => snapshots.find("onne"))).hint).toContain("one");
});

test("leftovers are those of nobody who is at work", async () => {
  await make("one");
  mkdirSync(join(folder, "all/.staging-new-00000000"));
  mkdirSync(join(folder, "all/.scratch-abcdefgh"));
  expect(snapshots.leftovers()).toHaveLength(2);
  await snapshots.withScratch(async ({ disk }) => {
    // A machine that has it open longer is no process that makes something.
    expect(disk).not.toContain(".staging-");
    expect(snapshots.leftovers()).toEqual([]);
  });
  expect(snapshots.list()).toHaveLength(1);
  expect(snapshots.usage().count).toBe(1);
});

const damages: Record<string, { do: (files: SnapshotFiles) => void; disk: boolean }> = {
  "longer memory": { do: ({ memory }) => appendFileSync(memory, "more"), disk: true },
  "memory that was written to": { do: ({ memory }) => utimesSync(memory, 1, 1), disk: true },
  "no memory": { do: ({ memory }) => rmSync(memory), disk: true },
  "another state": { do: ({ state }) => writeFileSync(state, "other"), disk: true },
  "no state": { do: ({ state }) => rmSync(state), disk: true },
  "no disk": { do: ({ disk }) => rmSync(disk), disk: false },
  "a disk that was written to": { do: ({ disk }) => utimesSync(disk, 1, 1), disk: false },
};

test.each(Object.keys(damages))("%s is seen", async (name) => {
  const made = await make("one");
  expect(snapshots.isMemoryWhole(made)).toBe(true);
  snapshots.assertDisk(made);
  const damage = damages[name];
  damage?.do(made.files);
  if (damage?.disk) {
    expect(snapshots.isMemoryWhole(made)).toBe(false);
    snapshots.assertDisk(made);
  } else {
    const failure = await refusal(() => snapshots.assertDisk(made));
    expect(failure.code).toBe("integrity");
  }
});

test("one whose record cannot be read can still be removed", async () => {
  const { files } = await make("one");
  writeFileSync(files.record, "{}");
  expect(snapshots.list()).toEqual([]);
  const failure = await refusal(() => snapshots.find("one"));
  expect(failure).toMatchObject({ code: "integrity", hint: expect.stringContaining("rm one") });
  snapshots.remove("one");
  expect(readdirSync(join(folder, "all"))).toEqual([]);
});

async function exported(name: string, file: string): Promise<StoredSnapshot> {
  const made = await make(name);
  await exportSnapshot(made, { path: file });
  return made;
}

async function imported(file: string): Promise<StoredSnapshot> {
  return await snapshots.add(async (files) => {
    let name = "";
    const onRecord = (own: string) => {
      name = `${own}-again`;
    };
    return { record: await importSnapshot(file, files, { onRecord }), name };
  });
}

test.each(["one.tar", "one.tar.zst"])("%s is read back as it was, with its holes", async (name) => {
  const file = join(folder, name);
  const made = await exported("one", file);
  expect(statSync(file).size).toBeLessThan(MiB);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const again = await imported(file);
  expect(again.name).toBe("one-again");
  expect(again.record).toEqual(made.record);
  for (const each of ["disk", "memory", "state"] as const) {
    expect(readFileSync(again.files[each]).equals(readFileSync(made.files[each]))).toBe(true);
  }
  expect(again.size_bytes).toBeLessThan(MiB);
  expect(snapshots.isMemoryWhole(again)).toBe(true);
  const over = await bangerErrorOf(exportSnapshot(made, { path: file }));
  expect(over.code).toBe("already_exists");
  await exportSnapshot(made, { path: file, force: true });
  const places = { [folder]: "already_exists", [join(folder, "no/x.tar")]: "not_found" };
  for (const [path, code] of Object.entries(places)) {
    const failure = await bangerErrorOf(exportSnapshot(made, { path, force: true }));
    expect(failure).toMatchObject({
      code,
      message: expect.stringContaining(`export to "${path}"`),
    });
  }
  expect(readdirSync(folder).sort()).toEqual(["all", name]);
});

test("no byte of an archive can be changed or missing", async () => {
  const file = join(folder, "one.tar");
  await exported("one", file);
  const bytes = readFileSync(file);
  for (let at = 600; at < bytes.length - 1024; at += 1023) {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] ?? 0) ^ 0x40;
    writeFileSync(file, changed);
    const failure = await imported(file).then(
      ({ name }) => snapshots.remove(name),
      (error) => error,
    );
    // Padding between entries is nobody's.
    if (bytes[at] === 0 && !failure) continue;
    expect(failure).toMatchObject({ name: "BangerError" });
  }
  writeFileSync(file, bytes.subarray(0, bytes.length - 4096));
  expect((await bangerErrorOf(imported(file))).code).toBe("integrity");
  expect(readdirSync(join(folder, "all"))).toEqual(["one"]);
});

const record: SnapshotRecord = {
  ...description,
  format: 1,
  memory: undefined,
  createdAt: "2026-01-01T00:00:00.000Z",
};

interface Entry {
  headers: Partial<Header>;
  body?: string | Uint8Array;
}

async function writeTar(path: string, entries: readonly Entry[]): Promise<void> {
  const stream = pack();
  for (const { headers, body } of entries) {
    stream.entry({ name: "", ...headers }, Buffer.from(body ?? ""));
  }
  stream.finalize();
  writeFileSync(path, Buffer.concat(await Array.fromAsync(stream as AsyncIterable<Buffer>)));
}

const text = JSON.stringify({ ...record, name: "evil" });
const hostile: Record<string, Entry[]> = {
  "no record": [{ headers: { name: "disk.ext4" }, body: "x" }],
  "a path": [
    { headers: { name: "snapshot.json" }, body: text },
    { headers: { name: "../disk" }, body: "x" },
  ],
  "a link": [
    { headers: { name: "snapshot.json" }, body: text },
    { headers: { name: "disk", type: "symlink", linkname: "/etc/passwd" } },
  ],
  "a file of another size": [
    { headers: { name: "snapshot.json" }, body: text },
    { headers: { name: "disk" }, body: "x" },
  ],
  "memory that the record has not": [
    { headers: { name: "snapshot.json" }, body: text },
    { headers: { name: "memory" }, body: new Uint8Array(MEMORY_MIB * MiB) },
  ],
  "two records": [
    { headers: { name: "snapshot.json" }, body: text },
    { headers: { name: "snapshot.json" }, body: text },
  ],
  "a record of too much": [
    {
      headers: { name: "snapshot.json" },
      body: text.replace(`"disk_bytes":${DISK_BYTES}`, '"disk_bytes":1e300'),
    },
  ],
  "no digests": [
    { headers: { name: "snapshot.json" }, body: text },
    { headers: { name: "disk" }, body: new Uint8Array(DISK_BYTES) },
  ],
  "a wrong digest": [
    { headers: { name: "snapshot.json" }, body: text },
    { headers: { name: "disk" }, body: new Uint8Array(DISK_BYTES) },
    { headers: { name: "digests.json" }, body: '{"disk":"sha256:0"}' },
  ],
};

const withSpec = (spec: object) => JSON.stringify({ ...record, spec: { ...record.spec, ...spec } });
const forged = {
  "a path to a layer": withSpec({ provisioned: "../../../snapshots/other/disk" }),
  "a path to a kernel": JSON.stringify({ ...record, kernel: "image:/../../../etc" }),
  "a path as image": JSON.stringify({ ...record, image: { id: "../x", name: "debian" } }),
  "a path as machine": JSON.stringify({ ...record, machine: { id: "../x", name: "box" } }),
  "a name with control characters": JSON.stringify({
    ...record,
    machine: { id: "ejdtsfa7vrng", name: "\u001b[31mbox" },
  }),
};
for (const [name, body] of Object.entries(forged)) {
  hostile[name] = [{ headers: { name: "snapshot.json" }, body }];
}

test("a record without anything forged is taken", async () => {
  const digest = new PartsHash();
  digest.add(new Uint8Array(DISK_BYTES), 0);
  const digests = JSON.stringify({ disk: digest.digest(DISK_BYTES) });
  const file = join(folder, "good.tar");
  const entries = [
    ["snapshot.json", withSpec({ provisioned: "ejdtsfa7vrng" })],
    ["disk", new Uint8Array(DISK_BYTES)],
    ["digests.json", digests],
  ] as const;
  await writeTar(
    file,
    entries.map(([name, body]) => ({ headers: { name }, body })),
  );
  expect((await imported(file)).record.spec.provisioned).toBe("ejdtsfa7vrng");
});

test.each(Object.keys(hostile))("an archive with %s is refused", async (name) => {
  const file = join(folder, "evil.tar");
  await writeTar(file, hostile[name] ?? []);
  const failure = await bangerErrorOf(imported(file));
  expect(failure.code).toBe("integrity");
  expect(failure.message).toStartWith("Cannot import the snapshot");
  expect(existsSync(join(folder, "disk"))).toBe(false);
  expect(readdirSync(join(folder, "all"))).toEqual([]);
});
