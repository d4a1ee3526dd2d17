/** Drives of a running QEMU, as its control socket shows them. */
import { expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { bangerErrorOf } from "#test/expect-error.ts";
import { growDrive, limitDrives } from "./drives.ts";

function qmp(fileOf = (at: number) => `/run/disk-${at}`, fdsets: unknown[] = []) {
  const calls: unknown[] = [];
  const drive = (at: number) => ({
    device: "",
    qdev: `/machine/peripheral-anon/device[${at}]/virtio-backend`,
    inserted: { file: fileOf(at), "node-name": `disk${at}` },
  });
  const execute = async (command: string, options?: unknown) => {
    if (command === "query-fdsets") return fdsets;
    if (command === "query-block") return [drive(0), drive(1), { device: "empty" }];
    calls.push([command, options]);
    return {};
  };
  return { calls, execute };
}

test("a drive grows by its file, and its place is the one that it has in the guest", async () => {
  const control = qmp();
  expect(await growDrive(control, { path: "/run/disk-1", pid: process.pid }, 4096)).toBe(1);
  expect(control.calls).toEqual([["block_resize", { "node-name": "disk1", size: 4096 }]]);
  const error = await bangerErrorOf(
    growDrive(control, { path: "/run/disk", pid: process.pid }, 4096),
  );
  expect(error.message).toBe('QEMU has no drive "/run/disk"');
});

test("a drive that QEMU has inherited is known by its descriptor", async () => {
  const [own, other] = [import.meta.path, import.meta.dir];
  const fds = [other, own].map((path) => openSync(path, "r"));
  try {
    const sets = fds.map((fd, at) => ({ "fdset-id": at + 7, fds: [{ fd }] }));
    const control = qmp((at) => `/dev/fdset/${at + 7}`, sets);
    expect(await growDrive(control, { path: own, pid: process.pid }, 4096)).toBe(1);
  } finally {
    for (const fd of fds) closeSync(fd);
  }
});

test("limits are set on each drive", async () => {
  const control = qmp();
  await limitDrives(control, { bytes_per_s: 7 });
  expect(control.calls).toHaveLength(2);
  expect(control.calls[1]).toMatchObject([
    "block_set_io_throttle",
    { id: "/machine/peripheral-anon/device[1]/virtio-backend", bps: 7, iops: 0, bps_rd: 0 },
  ]);
});
