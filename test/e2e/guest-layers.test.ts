/** The disks of a machine: layers between the image and the writable one, and one that has grown. */
import { afterAll, beforeAll, expect } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MiB } from "#base/size.ts";
import { formatEmpty } from "#ext4/empty/empty.ts";
import { BOOT_MS, connect, isClean, PREPARE_MS, shell } from "#test/guest-boot.ts";
import { busyboxRoot, makeDisk } from "#test/guest-disk.ts";
import { type GuestKernel, guestKernel } from "#test/guest-kernel.ts";
import { startGuestMachine } from "#test/guest-machine.ts";
import { testNeeding } from "#test/needs.ts";

const vmTest = testNeeding("qemu-system-x86_64", "mke2fs", "apt-get");

let folder: string;
let kernel: GuestKernel;
let root: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "banger-guest-e2e-"));
  kernel = await guestKernel();
  root = join(folder, "root.img");
  await makeDisk(root, { size: "64M", from: await busyboxRoot() });
}, PREPARE_MS);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A layer with /layers/NAME, and with its name in /layers/top. */
async function layer(name: string): Promise<string> {
  const tree = join(folder, name);
  mkdirSync(join(tree, "layers"), { recursive: true });
  writeFileSync(join(tree, "layers", name), name);
  writeFileSync(join(tree, "layers/top"), `${name}\n`);
  await makeDisk(`${tree}.img`, { size: "16M", from: tree });
  return `${tree}.img`;
}

vmTest(
  "layers lie on the image in the order of their disks, and the last disk is written to",
  async () => {
    const writable = join(folder, "layered.img");
    await makeDisk(writable, { size: "64M" });
    const layers = [await layer("one"), await layer("two")];
    await using machine = startGuestMachine({
      kernel,
      disks: [
        ...[root, ...layers].map((path) => ({ path, readOnly: true })),
        { path: writable, readOnly: false },
      ],
      record: { rootfs: { kind: "overlay", lowers: 2 } },
    });
    const agent = await connect(machine);
    expect(await shell(agent, "ls /layers; cat /layers/top")).toBe("one\ntop\ntwo\ntwo\n");
    expect(await shell(agent, "cat /proc/mounts")).toMatch(
      /^\/dev\/vdd \/run\/banger\/disk ext4 rw/m,
    );
    await shell(agent, "echo mine >/layers/top; rm /layers/one");
    await agent.shutdown();
    expect(await machine.exited).toBe(0);
    for (const disk of [writable, ...layers]) expect(await isClean(disk)).toBe(true);
  },
  BOOT_MS,
);

for (const [maker, format] of [
  ["mke2fs", (path: string) => makeDisk(path, { size: "64M" })],
  ["banger", (path: string) => formatEmpty(path, { size_bytes: 64 * MiB, seed: "grow" })],
] as const) {
  vmTest(
    `a disk by ${maker} that was made larger is used whole from the next boot on`,
    async () => {
      const writable = join(folder, `grown-${maker}.img`);
      await format(writable);
      const sizes: number[] = [];
      for (const size_mib of [64, 1024, 1024]) {
        truncateSync(writable, size_mib * MiB);
        await using machine = startGuestMachine({
          kernel,
          disks: [
            { path: root, readOnly: true },
            { path: writable, readOnly: false },
          ],
          record: {},
        });
        const agent = await connect(machine);
        const size_kib = Number(
          await shell(agent, "df -k / | tail -n 1 | awk '{ print $(NF - 4) }'"),
        );
        sizes.push(Math.round(size_kib / 1024));
        await shell(agent, "echo kept >>/kept");
        expect(machine.console()).not.toContain("Cannot grow");
        await agent.shutdown();
        expect(await machine.exited).toBe(0);
        expect(await isClean(writable)).toBe(true);
      }
      expect(sizes[0]).toBeLessThan(64);
      expect(sizes[1]).toBeGreaterThan(900);
      expect(sizes[2]).toBe(sizes[1] ?? 0);
    },
    2 * BOOT_MS,
  );
}

vmTest(
  "a machine whose monitor ends by reset is turned off by one",
  async () => {
    const writable = join(folder, "reset.img");
    await makeDisk(writable, { size: "64M" });
    await using machine = startGuestMachine({
      kernel,
      disks: [
        { path: root, readOnly: true },
        { path: writable, readOnly: false },
      ],
      record: {},
      append: "banger.poweroff=reset",
    });
    const agent = await connect(machine);
    await agent.shutdown();
    expect(await machine.exited).toBe(0);
    expect(machine.console()).toContain("Restarting system");
    expect(machine.console()).not.toContain("Power down");
    expect(await isClean(writable)).toBe(true);
  },
  BOOT_MS,
);
