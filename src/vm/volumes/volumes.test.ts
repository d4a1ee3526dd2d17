/** Volumes in the store and on disk, and who may have one. */
import { expect, test } from "bun:test";
import { existsSync, readdirSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { VolumeMount } from "#api/mount/mount.ts";
import type { VmState } from "#api/vm.ts";
import { canHaveSize } from "#base/files/file-size.ts";
import { MiB } from "#base/size.ts";
import { makePaths } from "#config/paths.ts";
import { bangerErrorOf, errorOf } from "#test/expect-error.ts";
import { vmStore } from "#test/vm-store.ts";
import { Events } from "#vm/events.ts";
import { deleteVm, getVm, insertVm, updateVm } from "#vm/records.ts";
import { States } from "#vm/states.ts";
import { assertMemoryAlone } from "./hold.ts";
import { Volumes } from "./volumes.ts";

const store = vmStore();

function volumesIn(): { volumes: Volumes; folder: string } {
  const state = join(dirname(store.db.filename), "state");
  const { volumes: folder, volume } = makePaths({ config: "", cache: "", runtime: "", state });
  const config = { paths: { volumes: folder, volume }, values: { "vm.disk": 64 * MiB } };
  return { volumes: new Volumes({ db: store.db, config }), folder };
}

function addVm(name: string, volumes: VolumeMount[]): void {
  insertVm(store.db, {
    id: `id-of-${name}`,
    name,
    imageId: "img1",
    kernel: "debian-6.12",
    spec: {
      mode: "direct",
      cpus: 1,
      memory_mib: 512,
      disk_bytes: 1 << 30,
      network: "none",
      mac: "02:00:00:00:00:01",
      machineId: "0".repeat(32),
      env: {},
      volumes,
    },
  });
  setState(name, "stopped");
}

function setState(name: string, ...states: VmState[]): void {
  for (const state of states) updateVm(store.db, getVm(store.db, name), { state });
}

/** As a machine does on its way up. */
function start(name: string): void {
  const states = new States({ db: store.db, owner: undefined }, new Events());
  states.set(`id-of-${name}`, { state: "starting" });
  setState(name, "running");
}

const writes = { volume: "data", path: "/data" };
const reads = { ...writes, readOnly: true };

test("a volume is a sparse file that lives until it is removed, with its name taken until then", async () => {
  const { volumes, folder } = volumesIn();
  const made = await volumes.create({ name: "data", token: "t" });
  expect(made).toMatchObject({ name: "data", size_bytes: 64 * MiB, machines: [], token: "t" });
  expect(made.allocated_bytes).toBeLessThan(MiB);
  expect((await bangerErrorOf(volumes.create({ name: "data" }))).code).toBe("already_exists");
  await volumes.ensure(["data", "big"], undefined);
  expect(volumes.list().map(({ name }) => name)).toEqual(["big", "data"]);
  expect(readdirSync(folder)).toHaveLength(2);
  const { path } = volumes.diskOf("data");
  expect(existsSync(path)).toBe(true);
  volumes.remove("data");
  expect(existsSync(path)).toBe(false);
  expect(errorOf(() => volumes.show("bigg"))).toMatchObject({
    code: "not_found",
    hint: 'Did you mean "big"?',
  });
});

test("one that a machine mounts, running or not, is neither removed nor pruned", async () => {
  const { volumes } = volumesIn();
  await volumes.ensure(["data", "other"], undefined);
  addVm("web", [writes]);
  expect(volumes.show("data").machines).toEqual(["web"]);
  expect(errorOf(() => volumes.remove("data"))).toMatchObject({
    code: "invalid_state",
    message: 'Cannot remove volume "data": in use by web',
  });
  expect(volumes.prune()).toEqual(["other"]);
  deleteVm(store.db, "id-of-web");
  expect(volumes.prune()).toEqual(["data"]);
});

test("files that a crash has left are found, but not those that are being made", async () => {
  const { volumes, folder } = volumesIn();
  await volumes.ensure(["data"], undefined);
  for (const name of ["lost.ext4", "new.ext4", "half.ext4.staging-1", "notes.txt"]) {
    writeFileSync(join(folder, name), "");
    if (name !== "new.ext4") utimesSync(join(folder, name), 0, 0);
  }
  expect(volumes.leftovers().toSorted()).toEqual([
    join(folder, "half.ext4.staging-1"),
    join(folder, "lost.ext4"),
  ]);
});

test("a volume grows, unless a machine runs or sleeps with it", async () => {
  const { volumes } = volumesIn();
  await volumes.ensure(["data"], undefined);
  addVm("web", [writes]);
  expect(volumes.grow("data", 128 * MiB)).toMatchObject({ size_bytes: 128 * MiB });
  expect(statSync(volumes.diskOf("data").path).size).toBe(128 * MiB);
  expect(errorOf(() => volumes.grow("data", 64 * MiB))).toMatchObject({
    code: "invalid_argument",
    message: 'Cannot shrink volume "data" from 128 MiB to 64 MiB',
  });
  start("web");
  setState("web", "suspending", "suspended");
  expect(errorOf(() => volumes.grow("data", 256 * MiB))).toMatchObject({
    code: "conflict",
    message: 'Cannot resize volume "data": in use by machine "web", which is suspended',
  });
  expect(volumes.diskOf("data").size_bytes).toBe(128 * MiB);
});

const LARGE_BYTES = 2 ** 51;
const holdsLarge = canHaveSize(join(tmpdir(), "banger-large"), LARGE_BYTES);

test.skipIf(holdsLarge)("a size that no file of the host can have [needs ext4]", async () => {
  const { volumes, folder } = volumesIn();
  await volumes.create({ name: "data", size_bytes: 64 * MiB });
  expect(errorOf(() => volumes.grow("data", LARGE_BYTES))).toMatchObject({
    code: "unsupported",
    message: expect.stringContaining("too large for the file system of"),
  });
  expect(volumes.show("data").size_bytes).toBe(64 * MiB);
  expect(readdirSync(folder)).toEqual([basename(volumes.diskOf("data").path)]);
});

test("one machine writes, or any number reads; who has it is named", () => {
  addVm("writer", [writes]);
  addVm("reader", [reads]);
  addVm("other", [reads]);
  start("writer");
  for (const name of ["reader", "other"]) {
    expect(errorOf(() => start(name))).toMatchObject({
      code: "conflict",
      message: `Cannot start "${name}": volume "data" is in use by machine "writer", which is running`,
    });
  }
  setState("writer", "suspending", "suspended");
  expect(errorOf(() => start("reader")).message).toContain("which is suspended");
  setState("writer", "stopped");
  start("reader");
  expect(errorOf(() => start("writer")).message).toContain(
    'is mounted read-only by machine "reader"',
  );
  start("other");
});

test("memory that knows a volume or a directory of the host goes nowhere else", () => {
  addVm("writer", [writes]);
  addVm("reader", [reads]);
  const writer = getVm(store.db, "writer");
  const reader = getVm(store.db, "reader");
  const share = { source: "/src", path: "/src" };
  const sharing = { ...reader, spec: { ...reader.spec, volumes: [], shares: [share] } };
  expect(errorOf(() => assertMemoryAlone(writer, { verb: "snapshot" }))).toMatchObject({
    code: "invalid_state",
    hint: "Save its own disk alone: banger vm snapshot create --disk-only writer",
  });
  expect(() => assertMemoryAlone(reader, { verb: "snapshot" })).toThrow('mounts volume "data"');
  expect(() => assertMemoryAlone(writer, { verb: "fork", readers: true })).toThrow("Cannot fork");
  assertMemoryAlone(reader, { verb: "fork", readers: true });
  assertMemoryAlone(writer, { verb: "suspend" });
  for (const verb of ["snapshot", "fork", "suspend"] as const) {
    expect(() => assertMemoryAlone(sharing, { verb })).toThrow("shares a directory");
  }
});
