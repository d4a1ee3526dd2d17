/** Drives of a running QEMU, as its control socket shows them. */
import { expect, test } from "bun:test";
import { bangerErrorOf } from "#test/expect-error.ts";
import { growDrive, limitDrives } from "./drives.ts";

function qmp() {
  const calls: unknown[] = [];
  const drive = (at: number) => ({
    device: "",
    qdev: `/machine/peripheral-anon/device[${at}]/virtio-backend`,
    inserted: { file: `/run/disk-${at}`, "node-name": `disk${at}` },
  });
  const execute = async (command: string, options?: unknown) => {
    if (command === "query-block") return [drive(0), drive(1), { device: "empty" }];
    calls.push([command, options]);
    return {};
  };
  return { calls, execute };
}

test("a drive grows by its file, and its place is the one that it has in the guest", async () => {
  const control = qmp();
  expect(await growDrive(control, "/run/disk-1", 4096)).toBe(1);
  expect(control.calls).toEqual([["block_resize", { "node-name": "disk1", size: 4096 }]]);
  const error = await bangerErrorOf(growDrive(control, "/run/disk", 4096));
  expect(error.message).toBe('QEMU has no drive "/run/disk"');
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
