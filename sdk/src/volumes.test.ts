/** Volumes and mounts as the client sends them, checked by the contract that the daemon has. */
import { expect, test } from "bun:test";
import { createRouterClient, implement } from "@orpc/server";
import { contract } from "#api/contract.ts";
import type { Vm } from "#api/vm.ts";
import { makeVm } from "#test/local-daemon.ts";
import { Volumes } from "./banger.ts";
import type { Connection } from "./connection.ts";
import { createMachine, Machine } from "./machine/machine.ts";

/** A daemon's procedures for volumes, which note what they get. */
function daemon() {
  const calls: unknown[] = [];
  const os = implement(contract);
  const volume = (name: string, size_bytes = 1 << 30) => ({
    name,
    size_bytes,
    allocated_bytes: 0,
    machines: [],
    createdAt: "2026-11-20T10:00:00.000Z",
  });
  const note = <T>(input: T): T => {
    calls.push(input);
    return input;
  };
  const box = (volumes: Vm["volumes"]): Vm => ({ ...makeVm("box", "stopped"), volumes });
  const router = {
    volume: {
      list: os.volume.list.handler(() => [volume("a"), volume("b")]),
      show: os.volume.show.handler(({ input }) => volume(input.name)),
      create: os.volume.create.handler(({ input }) =>
        volume(note(input).name, input.size_bytes ?? 7),
      ),
      resize: os.volume.resize.handler(({ input }) => volume(note(input).name, input.size_bytes)),
      remove: os.volume.remove.handler(({ input }) => {
        note(input);
        return {};
      }),
      prune: os.volume.prune.handler(() => ["old"]),
    },
    vm: {
      // biome-ignore lint/correctness/useYield: it has no progress
      create: os.vm.create.handler(async function* ({ input }) {
        return box(note(input).volumes);
      }),
      attachVolume: os.vm.attachVolume.handler(({ input }) => {
        const { name: _, ...mount } = note(input);
        return box([mount]);
      }),
      detachVolume: os.vm.detachVolume.handler(({ input }) => {
        note(input);
        return box(undefined);
      }),
    },
  };
  const client = createRouterClient(router, { context: {} });
  return { calls, connection: { client } as unknown as Connection };
}

test("volumes are created, grown and removed, with sizes as text", async () => {
  const { calls, connection } = daemon();
  const volumes = new Volumes(connection);
  expect((await volumes.list()).map(({ name }) => name)).toEqual(["a", "b"]);
  expect(await volumes.get("a")).toMatchObject({ name: "a", machines: [] });
  expect((await volumes.create("cache", { size: "50G" })).size_bytes).toBe(50 * 1024 ** 3);
  expect((await volumes.create("other")).size_bytes).toBe(7);
  expect((await volumes.resize("cache", "64G")).size_bytes).toBe(64 * 1024 ** 3);
  await volumes.remove("cache");
  expect(await volumes.prune()).toEqual(["old"]);
  expect(calls).toEqual([
    { name: "cache", size_bytes: 50 * 1024 ** 3 },
    { name: "other", size_bytes: undefined },
    { name: "cache", size_bytes: 64 * 1024 ** 3 },
    { name: "cache" },
  ]);
});

test("a machine is created with mounts and limits", async () => {
  const { calls, connection } = daemon();
  const mounts = {
    volumes: [{ volume: "cache", path: "/cache", readOnly: true }],
    shares: [{ source: "/home/me/src", path: "/src" }],
  };
  const ulimits = [{ name: "nofile" as const, soft: 10, hard: -1 }];
  const tmpfs = [{ path: "/t", size: "64M", mode: 0o700 }];
  const options = { tmpfs, shmSize: "1G", swap: "2G", readOnly: true, ulimits };
  const limits = { diskBandwidth: "50M", diskIops: 500, netIn: "10M", netOut: 2_000_000 };
  const all = { ...mounts, ...options, limits };
  const vm = await createMachine(connection, { image: "debian" }, all);
  expect(calls[0]).toMatchObject({
    ...mounts,
    limits: {
      disk_bytes_per_s: 50 * 1024 ** 2,
      disk_operations_per_s: 500,
      net_in_bytes_per_s: 10 * 1024 ** 2,
      net_out_bytes_per_s: 2_000_000,
    },
    guest: {
      tmpfs: [{ path: "/t", size_bytes: 64 * 1024 ** 2, mode: 0o700 }],
      shm_bytes: 1024 ** 3,
      swap_bytes: 2 * 1024 ** 3,
      readOnly: true,
      ulimits,
    },
  });
  expect(vm.info.volumes).toEqual(mounts.volumes);
  await createMachine(connection, { image: "debian" }, {});
  expect(calls[1]).toMatchObject({ guest: undefined, volumes: undefined, limits: undefined });
});

test("a stopped machine gets a volume and loses it again", async () => {
  const { calls, connection } = daemon();
  const vm = new Machine(connection, makeVm("box", "stopped"));
  await vm.attachVolume("cache", "/cache", { readOnly: true });
  expect(vm.info.volumes).toEqual([{ volume: "cache", path: "/cache", readOnly: true }]);
  await vm.detachVolume("cache");
  expect(vm.info.volumes).toBeUndefined();
  expect(calls).toEqual([
    { name: "id-box", volume: "cache", path: "/cache", readOnly: true },
    { name: "id-box", volume: "cache" },
  ]);
});
