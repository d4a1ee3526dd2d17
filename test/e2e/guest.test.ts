/** The agent as PID 1 of a real machine: Debian's kernel under QEMU, with a root of busybox. */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runOk } from "#base/run.ts";
import { KiB, MiB } from "#base/size.ts";
import { type Agent, connectAgent } from "#guest/agent.ts";
import { encodeBootRecord } from "#guest/boot.ts";
import { readAgentBinary } from "#guest/embedded.ts";
import type { AgentEvent } from "#guest/event.ts";
import { BOOT_MS, connect, isClean, PREPARE_MS, shell } from "#test/guest-boot.ts";
import { busyboxRoot, makeDisk } from "#test/guest-disk.ts";
import { codeOf, collectOutput, textOf } from "#test/guest-fixture.ts";
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

describe("direct mode, on an overlay of busybox", () => {
  let machine: GuestMachine;
  let agent: Agent;
  let writable: string;

  beforeAll(async () => {
    const root = join(folder, "busybox.img");
    writable = join(folder, "direct.img");
    const tree = join(folder, "busybox");
    await runOk(["cp", "-a", await busyboxRoot(), tree]);
    mkdirSync(join(tree, "run/sshd"), { recursive: true, mode: 0o750 });
    mkdirSync(join(tree, "var"));
    symlinkSync("../run", join(tree, "var/run"));
    writeFileSync(join(tree, "run/app.conf"), "of the image\n");
    await makeDisk(root, { size: "64M", from: tree });
    await makeDisk(writable, { size: "512M" });
    machine = startGuestMachine({
      kernel,
      disks: [
        { path: root, readOnly: true },
        { path: writable, readOnly: false },
      ],
      record: {
        authorizedKeys: ["ssh-ed25519 AAAA ann@home"],
        searchDomain: "vm",
        hosts: [{ address: "10.0.2.2", name: "host.banger" }],
      },
    });
    agent = await connect(machine);
  }, PREPARE_MS);

  afterAll(async () => {
    agent?.close();
    await machine?.[Symbol.asyncDispose]();
  });

  vmTest("tells its phases and that it is PID 1", async () => {
    const events: AgentEvent[] = [];
    agent.onEvent((event) => events.push(event));
    await agent.waitReady();
    expect(events.map(({ phase }) => phase)).toEqual(["mounted", "network", "ready"]);
    expect(agent.hello.mode).toBe("direct");
    expect(await shell(agent, "cat /proc/1/comm")).toBe("banger-agent\n");
  });

  vmTest("the root is an overlay, and container engines get folders beside it", async () => {
    const mounts = await shell(agent, "cat /proc/mounts");
    expect(mounts).toMatch(/^overlay \/ overlay rw/m);
    expect(mounts).toMatch(/^\/dev\/vdb \/var\/lib\/docker ext4 rw/m);
    expect(mounts).toMatch(/^cgroup2 \/sys\/fs\/cgroup cgroup2/m);
    expect(await shell(agent, "echo kept >/root/file; cat /root/file")).toBe("kept\n");
  });

  vmTest(
    "what the image has in /run is there, and only the agent's folder is in memory",
    async () => {
      expect(await shell(agent, "stat -c '%a %U' /var/run/sshd; cat /var/run/app.conf")).toBe(
        "750 root\nof the image\n",
      );
      const mounts = await shell(agent, "cat /proc/mounts");
      expect(mounts).toMatch(/^tmpfs \/run\/banger tmpfs rw/m);
      expect(mounts).not.toMatch(/ \/run /);
      expect(await shell(agent, "stat -c %a /run/banger")).toBe("700\n");
    },
  );

  vmTest("limits are those of a distribution, and / is shared", async () => {
    const knobs = [
      ...["net/ipv4/ip_unprivileged_port_start", "net/ipv4/ping_group_range"],
      ...["vm/max_map_count", "fs/inotify/max_user_instances", "fs/inotify/max_user_watches"],
    ];
    const values = await shell(
      agent,
      `cd /proc/sys; cat ${knobs.join(" ")}; ulimit -n; ulimit -Hn`,
    );
    expect(values.split(/\s+/)).toEqual([
      "0",
      "0",
      "2147483647",
      "1048576",
      "8192",
      "1048576",
      "1024",
      "524288",
      "",
    ]);
    const serve = "nc -l -p 80 -e echo served & until nc 127.0.0.1 80; do kill -0 $!; done";
    const { stdout } = await agent.run(["sh", "-ec", serve], { user: "ann" });
    expect(textOf(stdout)).toBe("served\n");
    expect(await shell(agent, "grep ' / / ' /proc/self/mountinfo")).toContain(" shared:");
  });

  vmTest("the machine is who the record says", async () => {
    expect(await shell(agent, "hostname; cat /etc/hostname /etc/machine-id")).toBe(
      "testbox\ntestbox\n0123456789abcdef0123456789abcdef\n",
    );
    expect(await shell(agent, "cat /etc/hosts")).toContain(
      "10.0.2.15 testbox\n10.0.2.2 host.banger\n",
    );
    expect(await shell(agent, "cat /etc/resolv.conf")).toBe("search vm\nnameserver 10.0.2.3\n");
    expect(
      await shell(agent, "test ! -L /etc/resolv.conf; stat -c %a /root/.ssh/authorized_keys"),
    ).toBe("600\n");
    expect(await shell(agent, "cat /root/.ssh/authorized_keys")).toBe(
      "ssh-ed25519 AAAA ann@home\n",
    );
  });

  vmTest("the network is up", async () => {
    expect(await shell(agent, "ip -4 addr show eth0")).toContain(
      "inet 10.0.2.15/24 brd 10.0.2.255",
    );
    expect(await shell(agent, "ip route")).toContain("default via 10.0.2.2 dev eth0");
    expect(await shell(agent, "ip addr show lo")).toContain("inet 127.0.0.1/8");
    await shell(agent, "ping -c 1 -w 10 10.0.2.2 >/dev/null");
  });

  vmTest("the clock is the host's, and can be set", async () => {
    const drift_ms = async () =>
      Math.abs(Number((await agent.health()).time_unix_ns / 1_000_000n) - Date.now());
    expect(await drift_ms()).toBeLessThan(60_000);
    await agent.setTime(BigInt(Date.now() - 86_400_000) * 1_000_000n);
    expect(await drift_ms()).toBeGreaterThan(80_000_000);
    await agent.setTime(BigInt(Date.now()) * 1_000_000n);
    expect(await drift_ms()).toBeLessThan(10_000);
  });

  vmTest("exit codes, signals, output and errors apart, environment of the record", async () => {
    const { status, stdout, stderr } = await agent.run([
      "sh",
      "-c",
      'echo "$BANGER_TEST"; echo err >&2; exit 3',
    ]);
    expect([status, textOf(stdout), textOf(stderr)]).toEqual([
      { code: 3 },
      "from the record\n",
      "err\n",
    ]);
    expect((await agent.run(["sh", "-c", "kill -9 $$"])).status).toEqual({ signal: "SIGKILL" });
    expect(await codeOf(agent.run(["/no/such"]))).toBe("command_not_found");
  });

  vmTest("users and groups are those of the guest", async () => {
    const who = async (user: string) =>
      textOf((await agent.run(["sh", "-c", "id; echo $HOME; pwd"], { user, cwd: "~" })).stdout);
    expect(await who("ann")).toBe(
      "uid=1000(ann) gid=1000(ann) groups=27(wheel)\n/home/ann\n/home/ann\n",
    );
    expect(await who("ann:ann")).toMatch(/^uid=1000\(ann\) gid=1000\(ann\)(?! groups=27)/);
    expect(await who("1000:27")).toContain("uid=1000(ann) gid=27(wheel)");
    expect(await who("4711:42")).toContain("uid=4711 gid=42");
    expect(await codeOf(agent.run(["true"], { user: "bob" }))).toBe("not_found");
  });

  vmTest(
    "50 MiB go through cat and come back the same",
    async () => {
      const stream = await agent.exec({ argv: ["cat"], stdin: true, window_bytes: MiB });
      const sent = new Bun.CryptoHasher("sha256");
      const received = new Bun.CryptoHasher("sha256");
      stream.onStdout((chunk) => {
        received.update(chunk);
        stream.grant(chunk.length);
      });
      const block = crypto.getRandomValues(new Uint8Array(MiB));
      for (let count = 0; count < 50; count++) {
        sent.update(block);
        await stream.writeStdin(block);
      }
      await stream.closeStdin();
      expect(await stream.exited).toEqual({ code: 0 });
      expect(received.digest("hex")).toBe(sent.digest("hex"));
    },
    BOOT_MS,
  );

  vmTest(
    "a terminal has its size, is resized, and takes ^C",
    async () => {
      const stream = await agent.exec({ argv: ["sh"], tty: { columns: 100, rows: 30 } });
      const output = collectOutput(stream);
      const say = (line: string) => stream.writeStdin(new TextEncoder().encode(line));
      await say("stty size; tty\n");
      await output.until("30 100");
      await output.until("/dev/pts/");
      stream.resize({ columns: 77, rows: 11 });
      await say("stty size\n");
      await output.until("11 77");
      await say(`sh -c "echo sleep''ing; exec sleep 600"\n`);
      await output.until("sleeping");
      await say("\x03");
      await say("echo sta''tus $?\n");
      await output.until("status 130");
      await say("exit 5\n");
      expect(await stream.exited).toEqual({ code: 5 });
    },
    BOOT_MS,
  );

  vmTest(
    "signals reach the process; an abort ends it and its children",
    async () => {
      const stream = await agent.exec({ argv: ["sleep", "600"] });
      stream.signal("SIGTERM");
      expect(await stream.exited).toEqual({ signal: "SIGTERM" });
      const abort = new AbortController();
      const running = await agent.exec(
        { argv: ["sh", "-c", "sleep 4711 & sleep 4712"] },
        { signal: abort.signal },
      );
      abort.abort();
      expect(await codeOf(running.exited)).toBe("cancelled");
      const rest = "while ps | grep -q '[s]leep 471'; do sleep 0.1; done; echo gone";
      expect(await shell(agent, rest)).toBe("gone\n");
    },
    BOOT_MS,
  );

  vmTest("a stream that nobody reads holds up no other", async () => {
    const stalled = await agent.exec({ argv: ["yes"], window_bytes: 1000 });
    let size = 0;
    stalled.onStdout((chunk) => {
      size += chunk.length;
    });
    const { stdout } = await agent.run(["head", "-c", "2000000", "/dev/zero"], {
      outputMax_bytes: 4 * MiB,
    });
    expect([stdout.length, size]).toEqual([2_000_000, 1000]);
    stalled.close();
  });

  vmTest("connects to a port inside, as ssh -L does", async () => {
    const server = await agent.exec({ argv: ["nc", "-l", "-p", "4096", "-e", "cat"] });
    await shell(agent, "until netstat -ltn | grep -q :4096; do sleep 0.05; done");
    const duplex = await agent.connect({ kind: "tcp", host: "localhost", port: 4096 });
    duplex.end("through the machine");
    expect(textOf(Buffer.concat(await Array.fromAsync(duplex)))).toBe("through the machine");
    expect(await server.exited).toEqual({ code: 0 });
    expect(await codeOf(agent.connect({ kind: "tcp", host: "127.0.0.1", port: 9 }))).toBe(
      "unavailable",
    );
  });

  vmTest("the agent is small", async () => {
    const status = await shell(agent, "cat /proc/1/status");
    const resident_kib = Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]);
    expect(resident_kib).toBeGreaterThan(0);
    expect(resident_kib).toBeLessThan(1536);
    expect(readAgentBinary().length).toBeLessThan(160 * KiB);
  });

  vmTest(
    "a host that breaks off in the middle is forgotten, and the next is served",
    async () => {
      for (let round = 0; round < 5; round++) {
        const pipe = await takeOver();
        const first = await connectAgent(pipe, { timeout_ms: BOOT_MS });
        const flood = await first.exec({
          argv: ["sh", "-c", "exec yes 4713"],
          window_bytes: 100 * MiB,
        });
        const input = await first.exec({ argv: ["cat"], stdin: true });
        void input.writeStdin(new Uint8Array(10 * MiB));
        await new Promise<void>((resolve) => flood.onStdout(() => resolve()));
        pipe.destroy();
        expect(await codeOf(flood.exited)).toBe("unavailable");
      }
      agent = await connectAgent(await machine.connect(), { timeout_ms: BOOT_MS });
      const rest = "while ps | grep -q '[y]es 4713'; do sleep 0.1; done; echo gone";
      expect(await shell(agent, rest)).toBe("gone\n");
    },
    BOOT_MS,
  );

  vmTest(
    "becomes another machine while it runs, as often as it is told to, and leaves alone what is the same",
    async () => {
      const look = () =>
        shell(
          agent,
          "hostname; cat /etc/hostname /etc/machine-id /etc/resolv.conf; tail -n 2 /etc/hosts; ip -4 -o addr show dev eth0 scope global | awk '{ print $4 }'; ip route | grep default; cat /sys/class/net/eth0/address; echo $WHO; cat /etc/ssh/ssh_host_ed25519_key /proc/sys/kernel/random/boot_id",
        );
      const other = (number: number): Uint8Array =>
        encodeBootRecord({
          mode: "direct",
          hostname: `other${number}`,
          rootfs: { kind: "overlay" },
          network: {
            mac: `52:54:00:00:00:0${number}`,
            address: `10.0.2.2${number}/24`,
            gateway: `10.0.2.${number}`,
            dns: [`10.0.2.${number}`],
          },
          authorizedKeys: [],
          sshHostKey: `key ${number}\n`,
          machineId: String(number).repeat(32),
          modules: [],
          env: { WHO: `other ${number}` },
          time_unix_ns: BigInt(number) * 2_000_000_000_000_000_000n,
          entropySeed: crypto.getRandomValues(new Uint8Array(64)),
        });
      await shell(
        agent,
        "mkdir -p /etc/banger/restore.d; cd /etc/banger/restore.d; printf '#!/bin/sh\necho $0 $(hostname) >>/hooks\n' >20-last; printf '#!/bin/sh\necho $0 >>/hooks; exit 3\n' >10-first; printf 'no program' >15-text; chmod +x 10-first 20-last",
      );
      const failed = ["/etc/banger/restore.d/10-first failed with exit status 3"];
      const bootIds = new Set([await shell(agent, "cat /proc/sys/kernel/random/boot_id")]);
      for (const number of [1, 2]) {
        expect(await agent.assume(other(number))).toEqual(failed);
        const [bootId, ...lines] = (await look()).trimEnd().split("\n").reverse();
        expect(lines.reverse()).toEqual([
          ...[`other${number}`, `other${number}`, String(number).repeat(32)],
          ...[`nameserver 10.0.2.${number}`, `10.0.2.2${number} other${number}`, "# end banger"],
          ...[`10.0.2.2${number}/24`, `default via 10.0.2.${number} dev eth0 onlink `],
          ...[`52:54:00:00:00:0${number}`, `other ${number}`, `key ${number}`],
        ]);
        bootIds.add(`${bootId}\n`);
        expect((await agent.health()).time_unix_ns / 10n ** 18n).toBe(BigInt(2 * number));
      }
      expect(bootIds.size).toBe(3);
      const before = await look();
      // The carrier comes back a moment after the interface.
      const stamps =
        "stat -c '%n %i %Y' /etc/hosts /etc/machine-id /etc/ssh/ssh_host_ed25519_key; ip -o link show dev eth0 | sed 's/NO-CARRIER,//'; ip route";
      const stamp = await shell(agent, stamps);
      expect(await agent.assume(other(2))).toEqual(failed);
      expect([await look(), await shell(agent, stamps)]).toEqual([before, stamp]);
      expect(await shell(agent, "cat /hooks; rm -r /etc/banger")).toBe(
        [1, 2, 2]
          .map(
            (number) =>
              `/etc/banger/restore.d/10-first\n/etc/banger/restore.d/20-last other${number}\n`,
          )
          .join(""),
      );
      expect(await agent.assume(other(1))).toEqual([]);
      await expect(agent.assume(new Uint8Array([1, 2, 3]))).rejects.toThrow();
      expect(await shell(agent, "hostname")).toBe("other1\n");
    },
    BOOT_MS,
  );

  /** QEMU serves one client of its socket at a time. */
  async function takeOver() {
    agent.close();
    await agent.closed;
    return await machine.connect();
  }

  vmTest(
    "powers off when told, and leaves a clean disk",
    async () => {
      await agent.shutdown();
      expect(await machine.exited).toBe(0);
      await agent.closed;
      expect(machine.console()).toContain("Power down");
      expect(await isClean(writable)).toBe(true);
    },
    BOOT_MS,
  );
});
