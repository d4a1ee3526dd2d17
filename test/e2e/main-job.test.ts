/** The main job through the built program: a kernel, images, machines in each mode and network, ssh. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { Image } from "#api/image.ts";
import type { Kernel } from "#api/kernel.ts";
import type { Version } from "#api/system.ts";
import type { Vm, VmExit } from "#api/vm.ts";
import { busyboxLayout } from "#test/busybox.ts";
import { debianLayout } from "#test/debian.ts";
import { type Installation, install } from "#test/installation.ts";
import { testNeeding } from "#test/needs.ts";
import { pushLayout, type Registry, startRegistry } from "#test/registry.ts";

const isRoot = process.getuid?.() === 0;
/** What the systemd machine is made with: nat where there are the rights for it. */
const BEST_NETWORK = isRoot ? "nat" : "user";

let banger: Installation;
let registry: Registry;

beforeAll(async () => {
  banger = install();
  registry = await startRegistry();
  const target = { host: registry.host, name: "library/debian", tag: "bookworm" };
  await pushLayout(await debianLayout(), target);
  await busyboxLayout(join(banger.home, "busybox"), { tag: "1" });
});

afterAll(async () => {
  await registry?.stop();
  await banger?.[Symbol.asyncDispose]();
});

describe("what machines are made of", () => {
  test("version tells what was built", async () => {
    const version = await banger.json<Version>("version");
    expect(version.version).toMatch(/^\d+\.\d+\.\d+/);
    expect(version.builtAt).toMatch(/^\d{4}-\d\d-\d\dT/);
    expect(version.commit).not.toBe("dev");
  });

  test("doctor works before there is a daemon, and says that machines can run", async () => {
    const { status, stdout } = await banger.call(["doctor"]);
    expect(stdout).toMatch(/qemu/i);
    expect(stdout).toMatch(/KVM/);
    expect(status).toBe(0);
    expect(banger.processes()).toEqual([]);
  });

  test("kernel pull takes Debian's kernel", async () => {
    expect(await banger.ok("kernel", "list", "--available")).toContain("debian-6.12");
    await banger.ok("kernel", "pull", "debian-6.12");
    const kernel = await banger.json<Kernel>("kernel", "show", "debian-6.12");
    expect(kernel.version).toMatch(/^6\.12\./);
    expect(kernel.features).toContain("overlay");
    const manifest = JSON.parse(readFileSync(join(kernel.path, "manifest.json"), "utf8"));
    expect(manifest.name).toBe("debian-6.12");
    expect((await banger.json<Kernel[]>("kernel", "list")).map(({ name }) => name)).toEqual([
      "debian-6.12",
    ]);
  });

  test("image pull takes an image from a registry", async () => {
    const reference = `${registry.host}/library/debian:bookworm`;
    await banger.ok("image", "pull", reference, "--kernel-ref", "debian-6.12");
    const image = await banger.json<Image>("image", "show", "debian-bookworm");
    expect(image).toMatchObject({ name: "debian-bookworm", kernel: "debian-6.12", layers: 1 });
    expect(image.config.cmd).toEqual(["bash"]);
    const fsck = Bun.spawnSync(["/sbin/e2fsck", "-fn", image.rootfs]);
    expect(fsck.stdout.toString() + fsck.stderr.toString()).not.toContain("Fix? no");
    expect(fsck.exitCode).toBe(0);
  });

  test("pulling it again changes nothing", async () => {
    const before = await banger.json<Image>("image", "show", "debian-bookworm");
    await banger.ok("image", "pull", `${registry.host}/library/debian:bookworm`);
    expect(await banger.json<Image>("image", "show", "debian-bookworm")).toEqual(before);
  });

  test("image pull takes a layout", async () => {
    await banger.ok("image", "pull", `oci:${banger.home}/busybox:1`, "--name", "busybox");
    const images = await banger.json<Image[]>("image", "list");
    expect(images.map(({ name }) => name).sort()).toEqual(["busybox", "debian-bookworm"]);
  });
});

describe("vm run, direct mode, no network", () => {
  const run = (...rest: string[]) => banger.call(["vm", "run", "--net", "none", ...rest]);

  test("gives the command's output", async () => {
    const { status, stdout } = await run("debian:bookworm", "--", "uname", "-a");
    expect(stdout).toMatch(/^Linux \S+ 6\.12\.\S+ .*x86_64 GNU\/Linux\n$/);
    expect(status).toBe(0);
  });

  test("has the image's environment and what -e adds, a user, a folder, and streams apart", async () => {
    const script =
      "id -un; pwd; stat -c %U .; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; env; echo err >&2; exit 7";
    const flags = ["-e", "MINE=1", "-u", "bob", "-w", "srv/new"];
    const result = await run(...flags, "busybox", "--", "sh", "-c", script);
    expect(result.stdout).toStartWith("bob\n/srv/new\nroot\n0\n");
    expect(result.stdout).toContain("FROM_IMAGE=yes\n");
    expect(result.stdout).toContain("MINE=1\n");
    expect(result.stdout).not.toContain("err\n");
    expect(result.stderr).toContain("err\n");
    expect(result.status).toBe(7);
  });

  test("passes on standard input with -i", async () => {
    const args = ["vm", "run", "-i", "--net", "none", "busybox", "--", "tr", "a-z", "A-Z"];
    const text = `${"hello ".repeat(50_000)}\n`;
    const { stdout, status } = await banger.call(args, { stdin: text });
    expect(stdout).toBe(text.toUpperCase());
    expect(status).toBe(0);
  });

  test("says which signal ended the command", async () => {
    expect((await run("busybox", "--", "sh", "-c", "kill -TERM $$")).status).toBe(128 + 15);
  });

  test("says that there is no such program", async () => {
    const { status, stderr } = await run("busybox", "--", "no-such-program");
    expect(stderr).toContain("no-such-program");
    expect(status).toBe(127);
  });

  test("passes signals on to the command", async () => {
    const trap = 'trap "echo caught; exit 9" INT; echo up; while :; do sleep 1; done';
    const child = banger.spawn(["vm", "run", "--net", "none", "busybox", "--", "sh", "-c", trap]);
    const errors = new Response(child.stderr).text();
    let output = "";
    for await (const chunk of child.stdout) {
      output += new TextDecoder().decode(chunk);
      if (output === "up\n") child.kill("SIGINT");
    }
    expect({ output, status: await child.exited, errors: await errors }).toMatchObject({
      output: "up\ncaught\n",
      status: 9,
    });
  });

  test("leaves no machine behind", async () => {
    expect(await banger.json<Vm[]>("vm", "list")).toEqual([]);
    expect(banger.processes().filter(({ command }) => command.includes("qemu"))).toEqual([]);
  });
});

describe("vm run with a network", () => {
  testNeeding("passt")("user: keeps the host's loopback to the host", async () => {
    using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("hi") });
    const url = `http://10.0.2.2:${server.port}/`;
    const command = `wget -T 5 -q -O - ${url} || echo kept`;
    const args = ["vm", "run", "--net", "user", "busybox", "--", "sh", "-c", command];
    const { stdout, status } = await banger.call(args);
    expect(stdout).toMatch(/^kept/);
    expect(status).toBe(0);
  });

  testNeeding("root")("nat: has an address of the pool", async () => {
    const args = ["vm", "run", "--nat", "busybox", "--", "ip", "-4", "addr", "show", "eth0"];
    const { stdout, status } = await banger.call(args);
    expect(stdout).toMatch(/inet 10(\.\d+){3}\/24/);
    expect(status).toBe(0);
  });
});

describe("a machine with systemd", () => {
  const VM = "testbox";
  const exec = (...argv: string[]) => banger.ok("vm", "exec", VM, "--", ...argv);
  let first: string[] = [];

  /** A line for each thing that no two machines may have in common. */
  async function identity(): Promise<string[]> {
    const files = ["/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key"];
    const sums = await exec("sha256sum", ...files);
    return sums.trim().split("\n");
  }

  test("is made of an image that has none", async () => {
    const args = ["--image", "debian-bookworm", "--name", VM, "--net", BEST_NETWORK];
    await banger.ok("vm", "create", ...args);
    const vm = await banger.json<Vm>("vm", "show", VM);
    expect(vm).toMatchObject({
      name: VM,
      state: "running",
      mode: "systemd",
      kernel: "debian-6.12",
    });
    expect(vm.network.mode).toBe(BEST_NETWORK);
    expect(vm.warning).toBeUndefined();
  });

  testNeeding("root")(
    "has an ssh server of its own that answers from the first moment",
    async () => {
      const { network } = await banger.json<Vm>("vm", "show", VM);
      const options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes"];
      const ssh = Bun.spawnSync(
        [
          ...["ssh", "-i", join(banger.home, "config/banger/ssh/id_ed25519")],
          ...options.flatMap((option) => ["-o", option]),
          ...[`root@${network.address}`, "hostname; systemctl is-active ssh"],
        ],
        { env: banger.env },
      );
      expect([ssh.stdout.toString(), ssh.exitCode]).toEqual([`${VM}\nactive\n`, 0]);
    },
  );

  test("leaves what was installed to the machines after it", async () => {
    const { provisioned } = await banger.json<Image>("image", "show", "debian-bookworm");
    const fsck = Bun.spawnSync(["/sbin/e2fsck", "-fn", provisioned?.path ?? ""]);
    expect(fsck.exitCode).toBe(0);
    expect(await banger.ok("image", "show", "debian-bookworm")).toMatch(/Provisioned: .* on disk/);
    first = await identity();
  });

  // What comes before it makes devices, and empties /tmp.
  test("is past the beginning of its boot when it counts as made", async () => {
    const target = ["systemctl", "is-active", "sysinit.target"];
    expect(await banger.ok("vm", "exec", VM, "--", ...target)).toBe("active\n");
  });

  test("answers ssh as root, with its agent as a service", async () => {
    const command = "id; uname -r; systemctl is-active banger-vsock-agent";
    const [id, kernel, active] = (await banger.ok("vm", "ssh", VM, "--", command)).split("\n");
    expect(id).toStartWith("uid=0(root)");
    expect(kernel).toStartWith("6.12.");
    expect(active).toBe("active");
  });

  test("has its agent back when somebody kills it", async () => {
    const pid = async () => (await exec("cat", "/run/banger/agent.pid")).trim();
    const before = await pid();
    await banger.call(["vm", "exec", VM, "--", "kill", "-9", before]);
    expect(await pid()).not.toBe(before);
    expect(await exec("cat", `/proc/${await pid()}/oom_score_adj`)).toBe("-1000\n");
  });

  test("gives ssh's exit status", async () => {
    expect((await banger.call(["vm", "ssh", VM, "--", "exit 5"])).status).toBe(5);
  });

  test("has no failed units and its own name", async () => {
    const failed = await banger.ok(
      "vm",
      "exec",
      VM,
      "--",
      "systemctl",
      "--failed",
      "--plain",
      "--no-legend",
    );
    expect(failed).toBe("");
    expect(await banger.ok("vm", "exec", VM, "--", "hostname")).toBe(`${VM}\n`);
  });

  test("takes files by scp through ssh-config, and gives them back", async () => {
    const config = join(banger.home, "ssh.cfg");
    writeFileSync(config, await banger.ok("ssh-config"));
    const [there, back] = [join(banger.home, "there"), join(banger.home, "back")];
    writeFileSync(there, Buffer.alloc(3_000_000, "banger"));
    const scp = async (...args: string[]) => {
      const child = Bun.spawn(["scp", "-F", config, ...args], { env: banger.env, stderr: "pipe" });
      const stderr = await new Response(child.stderr).text();
      expect({ args, stderr, status: await child.exited }).toMatchObject({ status: 0 });
    };
    await scp(there, `root@${VM}.vm:/tmp/file`);
    await scp(`root@${VM}.vm:/tmp/file`, back);
    expect(readFileSync(back).equals(readFileSync(there))).toBe(true);
  });

  test("has sessions, copies, forwarded ports and watched folders like any other", async () => {
    await banger.ok(
      ...["vm", "session", "start", VM, "job"],
      ...["--", "sh", "-c", "read word; echo got $word; cat /proc/1/comm"],
    );
    await banger.ok("vm", "session", "send", VM, "job", "it\n");
    await banger.ok("vm", "session", "wait", VM, "job");
    expect(await banger.ok("vm", "session", "logs", VM, "job")).toBe("got it\nsystemd\n");
    await banger.ok("vm", "session", "rm", VM, "job");

    const tree = join(banger.home, "tree");
    mkdirSync(join(tree, "sub"), { recursive: true });
    writeFileSync(join(tree, "sub/run"), "#!/bin/sh\n", { mode: 0o750 });
    const watching = banger.spawn(["vm", "watch", "-r", `${VM}:/srv`]);
    const said = watching.stderr.getReader();
    for (let text = ""; !text.includes("Watching /srv"); ) {
      text += new TextDecoder().decode((await said.read()).value);
    }
    await banger.ok("vm", "cp", "tree", `${VM}:/srv`);
    await banger.ok("vm", "cp", `${VM}:/srv/tree`, "again");
    const { mode } = statSync(join(banger.home, "again/sub/run"));
    expect(mode & 0o777).toBe(0o750);
    let seen = "";
    for await (const chunk of watching.stdout) {
      seen += new TextDecoder().decode(chunk);
      if (seen.includes("created /srv/tree/sub/run\n")) watching.kill("SIGINT");
    }
    expect(await watching.exited).toBe(130);

    const path = join(banger.home, "sshd.sock");
    const forwarding = banger.spawn(["vm", "forward", VM, `${path}:22`]);
    await forwarding.stdout.getReader().read();
    const socket = connect(path);
    const [greeting] = (await once(socket, "data")) as [Buffer];
    expect(greeting.toString()).toStartWith("SSH-2.0-OpenSSH");
    socket.destroy();
    forwarding.kill("SIGINT");
    expect(await forwarding.exited).toBe(130);
  });

  test("is in the list, for people and for programs", async () => {
    expect(await banger.ok("vm", "list")).toContain(VM);
    expect((await banger.json<Vm[]>("vm", "list")).map(({ name }) => name)).toEqual([VM]);
    expect(await banger.ok("vm", "list", "-q")).toBe(`${VM}\n`);
  });

  test("keeps its disk over stop and start", async () => {
    // As in images for clouds: a manager that would ask for an address by DHCP.
    const file = "/etc/systemd/network/10-all.network";
    const dhcp = `mkdir -p /etc/systemd/network; printf '[Match]\\nName=e*\\n[Network]\\nDHCP=yes\\n' > ${file}`;
    const manager = `${dhcp}; systemctl enable systemd-networkd`;
    await exec("sh", "-c", `echo kept > /root/file; ${manager}; sync`);
    await banger.ok("vm", "stop", VM);
    const stopped = await banger.json<Vm>("vm", "show", VM);
    expect(stopped).toMatchObject({ state: "stopped", exit: { reason: "poweroff" } });
    await banger.ok("vm", "start", VM);
    expect(await banger.ok("vm", "exec", VM, "--", "cat", "/root/file")).toBe("kept\n");
    const { address } = (await banger.json<Vm>("vm", "show", VM)).network;
    while (!/eth0 +ether +\S+ +configured/.test(await exec("networkctl", "--no-legend"))) {
      await Bun.sleep(200);
    }
    const status = await exec("networkctl", "status", "eth0");
    expect(status).toContain("/run/systemd/network/0-banger.network");
    expect(status).toContain(address ?? "10.0.2.15");
  });

  test("is started again when it reboots itself", async () => {
    const { startedAt } = await banger.json<Vm>("vm", "show", VM);
    await banger.call(["vm", "exec", VM, "--", "systemctl", "reboot"]);
    const isBack = async () => {
      const vm = await banger.json<Vm>("vm", "show", VM);
      return vm.state === "running" && vm.startedAt !== startedAt;
    };
    while (!(await isBack())) await Bun.sleep(100);
    const log = readFileSync(join(banger.home, "state/banger/daemon.log"), "utf8");
    // The values of a message are quoted, and the quotes of a JSON text have backslashes.
    expect(log).toMatch(new RegExp(`${VM}\\W+ended: \\W*reboot`));
    expect(await banger.ok("vm", "exec", VM, "--", "cat", "/root/file")).toBe("kept\n");
  });

  test("its console is in the logs", async () => {
    expect((await banger.ok("vm", "logs", VM)).length).toBeGreaterThan(0);
    const last = await banger.ok("vm", "logs", "--tail", "2", VM);
    expect(last.trimEnd().split("\n").length).toBeLessThanOrEqual(2);
  });

  test("wait ends when the machine is killed, and tells how", async () => {
    const waiting = banger.json<VmExit>("vm", "wait", VM);
    await banger.ok("vm", "kill", VM);
    expect((await waiting).reason).toBe("killed");
  });

  test("is gone after rm", async () => {
    await banger.ok("vm", "rm", VM);
    expect(await banger.json<Vm[]>("vm", "list")).toEqual([]);
  });

  test("is there without installing the second time, also on user-mode networking", async () => {
    const args = ["--image", "debian-bookworm", "--name", VM, "--net", "user"];
    const { status, stderr } = await banger.call(["vm", "create", "--progress=plain", ...args]);
    expect([status, stderr]).toEqual([0, expect.stringContaining(`Restoring ${VM}  `)]);
    expect(stderr).not.toContain("Installing");
    const units = "systemctl is-active banger-vsock-agent ssh; systemctl --failed --no-legend";
    expect(await banger.ok("vm", "ssh", VM, "--", units)).toBe("active\nactive\n");
    expect(await exec("cat", "/proc/mounts")).toMatch(/^\/dev\/vdc \/run\/banger\/disk ext4 rw/m);
  });

  test("shares nothing with the first that is a machine's own", async () => {
    const second = await identity();
    expect(second.map((line, index) => line === first[index])).not.toContain(true);
    expect(await exec("ls", "/var/log/dpkg.log", "/var/lib/banger").catch(() => "none")).toBe(
      "none",
    );
    await banger.ok("vm", "rm", "--force", VM);
  });
});

describe("a machine in direct mode that stays", () => {
  const VM = "small";
  const exec = (...argv: string[]) => banger.ok("vm", "exec", VM, "--", ...argv);

  test("runs commands, keeps its disk, and goes when it is asked to", async () => {
    const args = ["--image", "busybox", "--name", VM, "--mode", "direct", "--net", "none"];
    await banger.ok("vm", "create", ...args);
    await exec("sh", "-c", "echo kept > /root/file");
    expect(await exec("hostname")).toBe(`${VM}\n`);
    const bootId = () => exec("cat", "/proc/sys/kernel/random/boot_id");
    const before = await bootId();
    await banger.ok("vm", "restart", VM);
    expect(await bootId()).not.toBe(before);
    expect(await exec("cat", "/root/file")).toBe("kept\n");
    expect(await banger.ok("vm", "ssh", VM, "--", "cat /root/file")).toBe("kept\n");
    await banger.ok("vm", "rm", "--force", VM);
  });

  test("goes on running when the daemon is killed, and the next daemon has it", async () => {
    const args = ["--image", "busybox", "--name", VM, "--mode", "direct", "--net", "none"];
    await banger.ok("vm", "create", ...args);
    const before = await exec("cat", "/proc/sys/kernel/random/boot_id");
    const { pid } = await banger.json<{ pid: number }>("daemon", "status");
    process.kill(pid, "SIGKILL");
    expect(await exec("cat", "/proc/sys/kernel/random/boot_id")).toBe(before);
    await banger.ok("vm", "rm", "--force", VM);
  });
});
