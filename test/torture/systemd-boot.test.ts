/**
 * systemd's ways to boot, at length: an image of packages of its own through the built program, its file system
 * without a daemon, the agent's end and return, and emergency mode.
 */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Image } from "#api/image.ts";
import type { Vm } from "#api/vm.ts";
import { runOk } from "#base/run.ts";
import { BOOT_MS, connect, isClean, PREPARE_MS, shell } from "#test/guest-boot.ts";
import { makeDisk } from "#test/guest-disk.ts";
import { codeOf } from "#test/guest-fixture.ts";
import { type GuestKernel, guestKernel } from "#test/guest-kernel.ts";
import { type GuestMachine, startGuestMachine } from "#test/guest-machine.ts";
import { install } from "#test/installation.ts";
import { testNeeding } from "#test/needs.ts";
import { giveKernel } from "#test/pulled-kernel.ts";

const systemdTest = testNeeding("root", "qemu-system-x86_64", "mke2fs", "mmdebstrap", "apt-get");

let folder: string;
let kernel: GuestKernel;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "banger-guest-systemd-"));
  kernel = await guestKernel();
}, PREPARE_MS);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What the console says may come after the event that tells the same. The test's time limit ends the wait. */
async function untilConsoleSays(machine: GuestMachine, text: string): Promise<void> {
  while (!machine.console().includes(text)) await Bun.sleep(20);
}

describe("systemd mode", () => {
  /** The packages' file system as banger made it, which the tests after the first boot without a daemon. */
  let debian: string;

  beforeAll(() => {
    debian = join(folder, "debian.img");
  });

  systemdTest(
    "an image of packages with an init system and an ssh server starts as it is",
    async () => {
      const include = ["systemd-sysv", "dbus", "udev", "openssh-server", "iproute2"];
      const packages = include.flatMap((name) => ["--include", name]);
      await using banger = install();
      await giveKernel(banger);
      await banger.ok("image", "bootstrap", "bookworm", "--name", "whole", ...packages);
      const key = join(banger.home, "config/banger/ssh/id_ed25519");
      const trust = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"];
      const identities: string[][] = [];
      // The first makes the template that both are restored from.
      for (const name of ["own", "other"]) {
        const args = ["vm", "create", "--progress=plain", "--image", "whole", "--name", name];
        const { status, stderr } = await banger.call([...args, "--nat", "-e", `WHO=${name}`], {
          timeout_ms: PREPARE_MS,
        });
        expect([status, stderr]).toEqual([0, expect.stringContaining(`Restoring ${name}`)]);
        expect(stderr).not.toContain("Installing");
        expect(stderr).not.toContain("warning");
        expect(stderr.includes(`Booting ${name}`)).toBe(name === "own");
        const { network, template } = await banger.json<Vm>("vm", "show", name);
        expect(template).toBeDefined();
        const command = "hostname; systemctl is-active ssh banger-vsock-agent";
        const ssh = Bun.spawnSync(["ssh", "-i", key, ...trust, `root@${network.address}`, command]);
        expect([ssh.stdout.toString(), ssh.exitCode]).toEqual([`${name}\nactive\nactive\n`, 0]);
        const scan = Bun.spawnSync(["ssh-keyscan", "-t", "ed25519", network.address ?? ""]);
        const inside = async (script: string) =>
          (await banger.ok("vm", "exec", name, "--", "sh", "-c", script)).trim().split("\n");
        const same =
          "systemctl is-system-running; hostnamectl --static; echo $WHO; cat /etc/hostname; systemctl list-units --failed --no-legend | wc -l; systemctl list-timers --no-legend | wc -l | sed 's/[1-9].*/some/'; getent hosts $(hostname) | wc -l; findmnt /proc/sys/kernel/random/boot_id | wc -l";
        expect(await inside(same)).toEqual(["running", name, name, name, "0", "some", "1", "0"]);
        const own = [
          "cat /etc/machine-id /proc/sys/kernel/random/boot_id /proc/sys/kernel/random/uuid",
          "hostnamectl | grep -o 'Machine ID.*'; hostnamectl | grep -o 'Boot ID.*'",
          'journalctl -b -o json -n 1 | grep -o \'"_MACHINE_ID":"[0-9a-f]*\'',
          'journalctl -b -o json -n 1 | grep -o \'"_BOOT_ID":"[0-9a-f]*\'',
          "md5sum </var/lib/systemd/random-seed; cat /sys/class/net/eth0/address",
          "ip -o -4 addr show dev eth0 | awk '{ print $4 }'; ip -o -6 addr show dev eth0 scope link | awk '{ print $4 }'",
          "ssh-keygen -q -t ecdsa -N '' -f /root/new; md5sum </root/new.pub; head -c 16 /dev/urandom | od -An -tx1",
          "journalctl --header | grep -m 1 'Sequential number ID'",
        ].join("; ");
        const values = await inside(own);
        expect(values).toHaveLength(14);
        expect(values.at(4)?.replace("Boot ID: ", "")).toBe(values.at(1)?.replaceAll("-", ""));
        expect(values.slice(5, 7).map((text) => text.slice(-32))).toEqual([
          values.at(0) ?? "",
          values.at(1)?.replaceAll("-", "") ?? "",
        ]);
        identities.push([...values, scan.stdout.toString().split(" ").at(-1) ?? ""]);
      }
      for (const [index, value] of (identities[0] ?? []).entries()) {
        expect(value).not.toBe(identities[1]?.[index] ?? "");
      }
      const whole = await banger.json<Image>("image", "show", "whole");
      expect(whole.provisioned).toBeUndefined();
      copyFileSync(whole.rootfs, debian);
      await banger.ok("vm", "rm", "--force", "own", "other");
    },
    PREPARE_MS,
  );

  systemdTest(
    "the agent becomes a service, survives, and the machine shuts down clean",
    async () => {
      const writable = join(folder, "systemd.img");
      const fstab = join(folder, "fstab");
      writeFileSync(
        fstab,
        "LABEL=cloudimg-rootfs / ext4 errors=remount-ro 0 1\nUUID=4-2 /boot/efi vfat defaults 0 1\n/dev/sdb1 none swap sw 0 0\n",
      );
      for (const line of [
        "rm /etc/fstab",
        `write ${fstab} /etc/fstab`,
        "mkdir /run/mysqld",
        "sif /run/mysqld uid 101",
        "symlink /run/my /run/mysqld",
      ]) {
        await runOk(["debugfs", "-w", "-R", line, debian]);
      }
      await makeDisk(writable, { size: "2G" });
      await using machine = startGuestMachine({
        kernel,
        memory_mib: 768,
        disks: [
          { path: debian, readOnly: true },
          { path: writable, readOnly: false },
        ],
        record: { mode: "systemd" },
      });
      const agent = await connect(machine);
      const phases: string[] = [];
      agent.onEvent(({ phase }) => phases.push(phase));
      await agent.waitReady({ timeout_ms: BOOT_MS });
      expect(phases).toEqual(["mounted", "network", "starting", "ready"]);
      expect(await shell(agent, "systemctl is-active banger-vsock-agent")).toBe("active\n");
      expect(await shell(agent, "systemctl is-system-running --wait")).toBe("running\n");
      expect(await shell(agent, "cat /proc/self/cgroup")).toContain("banger-vsock-agent.service");
      const left =
        "banger: ignoring an entry of /etc/fstab whose disk does not exist: boot-efi.mount";
      await untilConsoleSays(machine, left);
      expect(await shell(agent, "stat -c %u /run/mysqld; readlink /run/my")).toBe(
        "101\n/run/mysqld\n",
      );
      const pid = /MainPID=(\d+)/.exec(
        await shell(agent, "systemctl show -p MainPID banger-vsock-agent"),
      )?.[1];
      expect(await shell(agent, "cat /run/banger/agent.pid")).toBe(`${pid}\n`);
      expect(await shell(agent, `cat /proc/${pid}/oom_score_adj`)).toBe("-1000\n");

      await agent.exec({ argv: ["kill", "-9", String(pid)] }).catch(() => {});
      await agent.closed;
      const next = await connect(machine);
      await next.waitReady({ timeout_ms: BOOT_MS });
      await shell(next, "until systemctl is-active -q banger-vsock-agent; do sleep 0.1; done");
      expect(await shell(next, "cat /run/banger/agent.pid")).not.toBe(`${pid}\n`);

      const goodbye = await machine.listenForGoodbye();
      // The connection goes with the machine.
      await next.run(["systemctl", "reboot"]).catch(() => {});
      expect(await machine.exited).toBe(0);
      await goodbye.complete();
      expect(goodbye.word).toBe("reboot");
      expect(await isClean(writable)).toBe(true);
    },
    PREPARE_MS,
  );

  systemdTest(
    "a boot that ends in emergency mode is told, with the units that failed",
    async () => {
      const writable = join(folder, "emergency.img");
      await makeDisk(writable, { size: "1G" });
      const fstab = join(folder, "fstab");
      writeFileSync(fstab, "none /srv/none no-such-fs defaults 0 0\n");
      for (const line of ["rm /etc/fstab", `write ${fstab} /etc/fstab`]) {
        await runOk(["debugfs", "-w", "-R", line, debian]);
      }
      await using machine = startGuestMachine({
        kernel,
        memory_mib: 768,
        disks: [
          { path: debian, readOnly: true },
          { path: writable, readOnly: false },
        ],
        record: { mode: "systemd" },
      });
      const agent = await connect(machine);
      const failure = agent.waitReady({ timeout_ms: BOOT_MS });
      expect(await codeOf(failure)).toBe("guest");
      await failure.catch((error) => expect(error.message).toContain("srv-none.mount"));
      // It is there for a look.
      expect(await shell(agent, "systemctl is-active emergency.target")).toBe("active\n");
      await agent.shutdown();
      expect(await machine.exited).toBe(0);
    },
    PREPARE_MS,
  );
});
