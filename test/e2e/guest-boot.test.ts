/** The ways in which a machine boots, or cannot: Debian's kernel and busybox, without a daemon. */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BootRecord } from "#guest/boot.ts";
import { BOOT_MS, connect, isClean, PREPARE_MS, shell } from "#test/guest-boot.ts";
import { busyboxRoot, makeDisk } from "#test/guest-disk.ts";
import { textOf } from "#test/guest-fixture.ts";
import { type GuestKernel, guestKernel } from "#test/guest-kernel.ts";
import { type GuestMachine, startGuestMachine } from "#test/guest-machine.ts";
import { testNeeding } from "#test/needs.ts";

const vmTest = testNeeding("qemu-system-x86_64", "mke2fs", "apt-get");

let folder: string;
let kernel: GuestKernel;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "banger-guest-e2e-"));
  kernel = await guestKernel();
}, PREPARE_MS);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What the console says may come after the event that tells the same. The test's time limit ends the wait. */
async function untilConsoleSays(machine: GuestMachine, text: string): Promise<void> {
  while (!machine.console().includes(text)) await Bun.sleep(20);
}

describe("direct mode, without an overlay", () => {
  vmTest(
    "one writable disk keeps what is written",
    async () => {
      const disk = join(folder, "plain.img");
      await makeDisk(disk, { size: "64M", from: await busyboxRoot() });
      for (const expected of ["", "from the first boot\n"]) {
        await using machine = startGuestMachine({
          kernel,
          disks: [{ path: disk, readOnly: false }],
          record: { rootfs: { kind: "plain" } },
        });
        const agent = await connect(machine);
        expect(await shell(agent, "cat /kept 2>/dev/null || true")).toBe(expected);
        await shell(agent, "echo from the first boot >/kept");
        await agent.shutdown();
        expect(await machine.exited).toBe(0);
        expect(await isClean(disk)).toBe(true);
      }
    },
    BOOT_MS,
  );

  vmTest(
    "a machine without its disk says so and panics",
    async () => {
      await using machine = startGuestMachine({ kernel, disks: [], record: {} });
      expect(await machine.exited).toBe(0);
      expect(machine.console()).toContain("banger: Disk /dev/vda not found");
      expect(machine.console()).toContain("Kernel panic - not syncing: Attempted to kill init");
    },
    BOOT_MS,
  );
});

describe("an image with one program and nothing else", () => {
  const PROGRAM = "/busybox-alone";

  /** A disk with the program, and with what `fill` adds. */
  async function bareDisk(name: string, fill: (tree: string) => void = () => {}): Promise<string> {
    const tree = join(folder, name);
    mkdirSync(tree);
    copyFileSync(join(await busyboxRoot(), "bin/busybox"), join(tree, PROGRAM));
    fill(tree);
    await makeDisk(`${tree}.img`, { size: "32M", from: tree });
    return `${tree}.img`;
  }

  function bareMachine(root: string, writable: string, record: Partial<BootRecord> = {}) {
    const disks = [
      { path: root, readOnly: true },
      { path: writable, readOnly: false },
    ];
    return startGuestMachine({ kernel, disks, record });
  }

  vmTest(
    "gets its names, resolver and keys, its orphans are reaped, and it powers off clean",
    async () => {
      const writable = join(folder, "bare-rw.img");
      await makeDisk(writable, { size: "64M" });
      const authorizedKeys = ["ssh-ed25519 AAAA ann@home"];
      const sshHostKey = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n";
      const root = await bareDisk("bare");
      await using machine = bareMachine(root, writable, { authorizedKeys, sshHostKey });
      const agent = await connect(machine);
      await agent.waitReady({ timeout_ms: BOOT_MS });
      const run = async (...argv: string[]) => textOf((await agent.run([PROGRAM, ...argv])).stdout);
      const read = async (path: string) => textOf(await agent.files.readFile(path));
      expect(await read("/etc/resolv.conf")).toBe("nameserver 10.0.2.3\n");
      expect(await read("/etc/hostname")).toBe("testbox\n");
      expect(await read("/etc/hosts")).toContain("127.0.0.1 localhost\n");
      expect(await read("/etc/machine-id")).toMatch(/^[0-9a-f]{32}\n$/);
      expect(await read("/etc/ssh/ssh_host_ed25519_key")).toBe(sshHostKey);
      expect((await agent.files.stat("/etc/ssh/ssh_host_ed25519_key")).mode).toBe(0o600);
      expect(await read("/root/.ssh/authorized_keys")).toBe(`${authorizedKeys[0]}\n`);
      // The seed of the boot record has made the random numbers good before anybody could ask.
      expect(await run("dmesg")).toMatch(/random: crng init done/);
      await run("sh", "-c", `for i in 1 2 3 4 5; do (${PROGRAM} true &); done`);
      const left = `while ${PROGRAM} ps | ${PROGRAM} grep -q "[Z] "; do ${PROGRAM} sleep 0.1; done`;
      expect((await agent.run([PROGRAM, "sh", "-c", left])).status).toEqual({ code: 0 });
      // When memory runs out the agent is the last to go, and what it has started is not spared.
      expect(await read("/proc/1/oom_score_adj")).toBe("-1000\n");
      expect(await run("cat", "/proc/self/oom_score_adj")).toBe("0\n");
      await agent.shutdown();
      expect(await machine.exited).toBe(0);
      expect(await isClean(writable)).toBe(true);
    },
    BOOT_MS,
  );

  vmTest(
    "cannot have an init system installed, and says so; a resolver file that is empty is filled",
    async () => {
      const writable = join(folder, "bare-systemd-rw.img");
      await makeDisk(writable, { size: "64M" });
      const root = await bareDisk("bare-systemd", (tree) => {
        mkdirSync(join(tree, "etc"));
        writeFileSync(join(tree, "etc/resolv.conf"), "");
      });
      await using machine = bareMachine(root, writable, { mode: "systemd" });
      const agent = await connect(machine);
      expect(agent.hello.mode).toBe("systemd");
      const failure = agent.waitReady({ timeout_ms: BOOT_MS });
      await expect(failure).rejects.toThrow("the image has no /bin/sh; use direct mode");
      await untilConsoleSays(machine, "does the image have /bin/sh?");
      const resolver = textOf(await agent.files.readFile("/etc/resolv.conf"));
      expect(resolver).toBe("nameserver 10.0.2.3\n");
      await agent.shutdown();
      expect(await machine.exited).toBe(0);
      expect(await isClean(writable)).toBe(true);
    },
    BOOT_MS,
  );
});
