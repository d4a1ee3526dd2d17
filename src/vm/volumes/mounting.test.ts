/** Volumes of machines that exist: what is attached, detached and grown, and when. */
import { expect, test } from "bun:test";
import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { VolumeMount } from "#api/mount/mount.ts";
import type { VmState } from "#api/vm.ts";
import { GiB, MiB } from "#base/size.ts";
import { makePaths } from "#config/paths.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { vmStore } from "#test/vm-store.ts";
import type { Lifecycle } from "#vm/life/lifecycle.ts";
import { getVm, insertVm, updateVm } from "#vm/records.ts";
import { VolumeMounts } from "./mounting.ts";
import { Volumes } from "./volumes.ts";

const store = vmStore();

/** A stopped machine "web" with these, and the calls that reach its VMM and its agent while it runs. */
function machineWith(mounts: VolumeMount[], { canGrow = true } = {}) {
  const { db } = store;
  const state = join(dirname(db.filename), "state");
  const { volumes: folder, volume } = makePaths({ config: "", cache: "", runtime: "", state });
  const config = { paths: { volumes: folder, volume }, values: { "vm.disk": 64 * MiB } };
  const volumes = new Volumes({ db, config });
  insertVm(db, {
    id: "id-of-web",
    name: "web",
    imageId: "img1",
    kernel: "debian-6.12",
    spec: {
      mode: "direct",
      cpus: 1,
      memory_mib: 512,
      disk_bytes: GiB,
      network: "none",
      mac: "02:00:00:00:00:01",
      machineId: "0".repeat(32),
      env: {},
      ...(mounts.length > 0 ? { volumes: mounts } : {}),
    },
  });
  const calls: unknown[] = [];
  const growDrive = async (path: string, size_bytes: number) => {
    calls.push(["drive", path, size_bytes]);
    return 3;
  };
  const running = {
    link: {
      machine: canGrow ? { growDrive } : {},
      agent: async () => ({ setUp: async (steps: string[]) => calls.push(steps) }),
    },
  };
  const lifecycle = {
    inTurn: (_: string, work: () => Promise<unknown>) => work(),
    running: () => running,
    change: (id: string, change: object) => updateVm(db, getVm(db, id), change),
  } as unknown as Lifecycle;
  const mounting = new VolumeMounts({ db, volumes }, lifecycle);
  const go = (...states: VmState[]) => {
    for (const next of states) updateVm(db, getVm(db, "web"), { state: next });
  };
  go("stopped");
  return { volumes, mounting, calls, go };
}

const data = { volume: "data", path: "/data" };

test("a stopped machine gets a volume, which is created, and loses it again", async () => {
  const { volumes, mounting } = machineWith([]);
  const attached = await mounting.attach("web", { ...data, path: "/data/" }, "t");
  expect(attached.volumes).toEqual([data]);
  expect(volumes.show("data")).toMatchObject({ machines: ["web"], token: "t" });
  expect((await bangerErrorOf(mounting.attach("web", data, undefined))).code).toBe(
    "invalid_argument",
  );
  expect((await mounting.detach("web", "data")).volumes).toBeUndefined();
  expect(volumes.show("data").machines).toEqual([]);
  expect(await bangerErrorOf(mounting.detach("web", "data"))).toMatchObject({
    code: "not_found",
    message: 'Cannot detach volume "data" from machine "web": it does not mount it',
  });
});

test("a refused mount creates no volume, and a ninth one is refused", async () => {
  const eight = Array.from({ length: 8 }, (_, at) => ({ volume: `v${at}`, path: `/v${at}` }));
  const { volumes, mounting } = machineWith(eight);
  const error = await bangerErrorOf(mounting.attach("web", data, undefined));
  expect(error).toMatchObject({ code: "limit_exceeded" });
  await mounting.detach("web", "v7");
  await bangerErrorOf(mounting.attach("web", { ...data, path: "/v0" }, undefined));
  expect(volumes.find("data")).toBeUndefined();
});

test("while a machine runs or sleeps, the error names the way: stop, attach, start", async () => {
  const { mounting, go } = machineWith([data]);
  go("starting", "running");
  const more = { volume: "more", path: "/more" };
  expect(await bangerErrorOf(mounting.attach("web", more, undefined))).toMatchObject({
    code: "invalid_state",
    hint: "Stop it first: banger vm stop web, then repeat this command, then: banger vm start web",
  });
  go("suspending", "suspended");
  const { message } = await bangerErrorOf(mounting.detach("web", "data"));
  expect(message).toStartWith('Cannot detach a volume from machine "web": it is suspended');
});

test("a volume of a running machine grows in its VMM, then inside; of a stopped one as a file", async () => {
  const { volumes, mounting, calls, go } = machineWith([data]);
  await volumes.ensure(["data"], undefined);
  const { path } = volumes.diskOf("data");
  await mounting.resize("data", 80 * MiB);
  expect(statSync(path).size).toBe(80 * MiB);
  go("starting", "running");
  expect(await mounting.resize("data", 96 * MiB)).toMatchObject({ size_bytes: 96 * MiB });
  expect(calls).toEqual([
    ["drive", path, 96 * MiB],
    ["grow", "/dev/vdd", "/data", String(96 * MiB)],
  ]);
  expect((await bangerErrorOf(mounting.resize("data", MiB))).code).toBe("invalid_argument");
  go("paused");
  expect((await bangerErrorOf(mounting.resize("data", GiB))).code).toBe("conflict");
  expect(calls).toHaveLength(2);
});

test("a VMM that cannot grow a drive, and a reader, are in the way of a resize", async () => {
  for (const [mount, options] of [
    [data, { canGrow: false }],
    [{ ...data, readOnly: true }, {}],
  ] as const) {
    const { volumes, mounting, calls, go } = machineWith([mount], options);
    await volumes.ensure(["data"], undefined);
    go("starting", "running");
    const error = await bangerErrorOf(mounting.resize("data", GiB));
    expect(error).toMatchObject({
      code: "conflict",
      hint: "Stop that machine first: banger vm stop web",
    });
    expect(calls).toEqual([]);
    expect(volumes.show("data").size_bytes).toBe(64 * MiB);
    store.db.run("DELETE FROM vms");
  }
});
