/**
 * What a first boot installs and leaves to other machines, with a package manager of a few lines in
 * place of one that takes minutes; test/e2e/main-job.test.ts does it with the real one.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Image } from "#api/image.ts";
import type { ImageGcResult } from "#api/image-space.ts";
import type { Vm } from "#api/vm.ts";
import { busyboxLayout, type TarEntry } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { giveKernel } from "#test/pulled-kernel.ts";

// For a run of several files, of which only the first has the default of its own.
setDefaultTimeout(LIMIT_MS);

/** An init that does what the units of the agent do under systemd. */
const INIT = `#!/bin/sh
/run/banger/banger-vsock-agent join 2>/dev/null
/run/banger/banger-vsock-agent notify ready systemd
exec /run/banger/banger-vsock-agent idle
`;

/** As far as a template asks it. */
const SYSTEMCTL = `#!/bin/sh
[ "$1" != is-system-running ] || echo running
`;

/** Installs the init when it is told to install, changes what the image has, and does `more`. */
const aptGet = (more = ":") => `#!/bin/sh
case " $* " in *" install "*) ;; *) exit ;; esac
echo "Unpacking an init"
${more}
mkdir -p /usr/lib/systemd
cp /etc/init-to-install /usr/lib/systemd/systemd
chmod 755 /usr/lib/systemd/systemd
rm /etc/removed
rm -r /srv/old; mkdir /srv/old; echo new >/srv/old/new
mkdir -p /var/log; echo "installed" >/var/log/dpkg.log
`;

let banger: Installation;

beforeAll(async () => {
  banger = install();
  await giveKernel(banger);
});

afterAll(async () => {
  await banger?.[Symbol.asyncDispose]();
});

/** An image of that name which calls itself Debian. */
async function pull(name: string, script: string): Promise<void> {
  const entries: TarEntry[] = [
    { name: "etc/os-release", body: "ID=debian\n" },
    { name: "etc/init-to-install", body: INIT },
    { name: "etc/removed", body: "the image's" },
    { name: "srv/old/gone", body: "the image's" },
    { name: "usr/bin/apt-get", mode: 0o755, body: script },
    { name: "usr/bin/systemctl", mode: 0o755, body: SYSTEMCTL },
  ];
  await busyboxLayout(join(banger.home, name), { more: [entries] });
  await banger.ok("image", "pull", `oci:${banger.home}/${name}`, "--name", name);
}

const show = (image: string) => banger.json<Image>("image", "show", image);
const create = (image: string, vm: string) =>
  banger.call([
    ...["vm", "create", "--image", image, "--name", vm, "--net", "none"],
    "--progress=plain",
  ]);
const exec = async (vm: string, script: string) =>
  (await banger.ok("vm", "exec", vm, "--", "sh", "-c", script)).trimEnd();

/** The files in an image's folder. */
async function filesOf(image: string): Promise<string[]> {
  return readdirSync(dirname((await show(image)).rootfs)).sort();
}

describe("the first machine of an image", () => {
  const SEEN = "ls /etc/removed 2>/dev/null; ls -A /srv/old /var/log; cat /srv/old/new";

  test("installs with its progress shown, and leaves it to the second", async () => {
    await pull("base", aptGet("echo first >/etc/machine-id.copy; hostname >/etc/hostname"));
    const first = await create("base", "first");
    expect([first.status, first.stderr]).toEqual([0, expect.stringContaining("Starting systemd")]);
    expect(first.stderr).toContain("Installing systemd and openssh-server  ");
    expect(first.stderr).toContain(
      "Saving the installed packages for other machines of the image  ",
    );
    const second = await create("base", "second");
    expect(second.stderr).not.toContain("Installing");
    // The daemon has made, or still makes, what it is restored from.
    expect([second.stderr.includes("Booting"), second.stderr]).toEqual([
      false,
      expect.stringContaining("Restoring second"),
    ]);
    expect(await exec("second", "hostname; cat /etc/hostname")).toBe("second\nsecond");
    expect(await exec("first", SEEN)).toBe("/srv/old:\nnew\n\n/var/log:\ndpkg.log\nnew");
    expect(await exec("second", SEEN)).toBe("/srv/old:\nnew\n\n/var/log:\nnew");
  });

  test("is what the others stand on, and not what they write to", async () => {
    await exec("second", "echo mine >/srv/old/new; rm -r /usr/lib/systemd; sync");
    await create("base", "third");
    expect(await exec("third", "cat /srv/old/new; ls /usr/lib/systemd")).toBe("new\nsystemd");
    await banger.ok("vm", "restart", "third");
    expect(await exec("third", "cat /proc/mounts")).toContain("/dev/vdc /run/banger/disk ext4");
    await banger.ok("vm", "rm", "--force", "first", "third");
  });

  test("can be given up: machines keep theirs, and the next one installs anew", async () => {
    const { provisioned } = await show("base");
    await banger.ok("image", "rm", "--provisioned", "base");
    expect((await show("base")).provisioned).toBeUndefined();
    expect(existsSync(provisioned?.path ?? "")).toBe(true);
    await banger.ok("image", "provision", "base");
    const anew = (await show("base")).provisioned;
    expect(anew?.path).not.toBe(provisioned?.path);
    expect((await banger.json<Vm[]>("vm", "list")).map(({ name }) => name)).toEqual(["second"]);
    await banger.ok("image", "provision", "base");
    expect((await show("base")).provisioned).toEqual(anew);
    await banger.ok("vm", "rm", "--force", "second");
    expect(await banger.json<ImageGcResult>("image", "gc")).toMatchObject({ layers: 1 });
    expect(await filesOf("base")).toHaveLength(2);
  });

  test("whose layer somebody has deleted by hand is told so", async () => {
    await banger.ok("vm", "create", "--image", "base", "--name", "lost", "--net", "none");
    await banger.ok("vm", "stop", "lost");
    rmSync((await show("base")).provisioned?.path ?? "");
    const { status, stderr } = await banger.call(["vm", "start", "lost"]);
    expect([status === 0, stderr]).toEqual([false, expect.stringContaining("missing file")]);
    await banger.ok("vm", "rm", "lost");
    await banger.ok("image", "rm", "base");
  });
});

describe("nothing is left to other machines", () => {
  test("when the package manager fails; the machine tells why and can be mended", async () => {
    await pull("broken", aptGet("[ -e /etc/mended ] || { echo 'E: no such archive'; exit 100; }"));
    const { status, stderr } = await create("broken", "torn");
    expect(status).not.toBe(0);
    expect(stderr).toContain("nstalling systemd and openssh-server failed with exit status 100");
    expect(stderr).toContain("E: no such archive");
    await exec("torn", "touch /etc/mended");
    await banger.ok("vm", "restart", "torn");
    const vm = await banger.json<Vm>("vm", "show", "torn");
    expect([vm.state, vm.warning]).toEqual(["running", undefined]);
    expect(await exec("torn", "cat /srv/old/new")).toBe("new");
    expect((await show("broken")).provisioned).toBeUndefined();
    await banger.ok("vm", "rm", "--force", "torn");
  });

  test("when somebody was inside meanwhile", async () => {
    await pull("visited", aptGet("while [ ! -e /tmp/go ]; do sleep 0.1; done"));
    const making = create("visited", "host");
    const isThere = async () =>
      (await banger.call(["vm", "exec", "host", "--", "touch", "/tmp/go"])).status === 0;
    while (!(await isThere())) await Bun.sleep(100);
    expect((await making).status).toBe(0);
    expect((await show("visited")).provisioned).toBeUndefined();
    await banger.ok("vm", "rm", "--force", "host");
  });

  test("when the daemon is killed while it keeps it; the machine goes on, and the next one does it", async () => {
    await pull("large", aptGet("dd if=/dev/zero of=/usr/large bs=1M count=150 2>/dev/null"));
    const making = banger.spawn([
      "vm",
      "create",
      "--image",
      "large",
      "--name",
      "cut",
      "--net",
      "none",
    ]);
    const { pid } = await banger.json<{ pid: number }>("daemon", "status");
    // The layer is written beside the rootfs before it has its name.
    const folder = dirname((await show("large")).rootfs);
    while (readdirSync(folder).length < 2) await Bun.sleep(5);
    process.kill(pid, "SIGKILL");
    await making.exited;
    const state = async () => (await banger.json<Vm>("vm", "show", "cut")).state;
    while ((await state()) === "starting") await Bun.sleep(100);
    expect(await state()).toBe("running");
    expect(await exec("cut", "cat /srv/old/new; cat /proc/1/comm")).toBe("new\nbanger-vsock-ag");
    expect(await filesOf("large")).toEqual(["rootfs.ext4"]);
    const [one, two] = await Promise.all([create("large", "one"), create("large", "two")]);
    expect([one.status, two.status]).toEqual([0, 0]);
    expect(await filesOf("large")).toEqual([expect.stringMatching(/^provisioned-/), "rootfs.ext4"]);
    // A template that is made in the background goes with the daemon.
    const { pid: next } = await banger.json<{ pid: number }>("daemon", "status");
    process.kill(next, "SIGKILL");
    const ids = async () => (await banger.json<Vm[]>("vm", "list")).map(({ id }) => id).sort();
    const known = await ids();
    for (const folder of ["run/banger/vm", "state/banger/vms"]) {
      const there = () => readdirSync(join(banger.home, folder)).sort();
      while (!Bun.deepEquals(there(), known)) await Bun.sleep(50);
    }
    const vmms = banger
      .processes()
      .flatMap(({ command }) => / -name \S*?(\w+) /.exec(command)?.[1] ?? []);
    expect(vmms.sort()).toEqual(known);
    await banger.ok("vm", "rm", "--force", "cut", "one", "two");
  });
});
