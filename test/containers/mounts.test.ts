/**
 * What machines mount of the host: directories shared by 9P and by FUSE, as a guest sees them that means harm, and volumes that are
 * attached and grown later. The second machine of a kind is restored from a template.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { pullBusybox } from "#test/busybox.ts";
import { type Installation, install, type Result } from "#test/installation.ts";
import { until } from "#test/until.ts";

setDefaultTimeout(60 * 60_000);

/** Debian's kernel for clouds has no 9P. */
const KERNELS = { "9p": "debian-full-6.12", fuse: "debian-6.12" };
type Transport = keyof typeof KERNELS;
const SECRET = "not for guests\n";

let banger: Installation;

beforeAll(async () => {
  banger = install();
  await pullBusybox(banger);
  await banger.ok("kernel", "pull", KERNELS["9p"]);
});
afterAll(() => banger?.[Symbol.asyncDispose]());

/** Directories of the host for a machine of that name, and one beside them that it must not reach. */
function directories(name: string) {
  const at = (path: string) => join(banger.home, name, path);
  for (const path of ["rw/dir", "ro", "outside"]) mkdirSync(at(path), { recursive: true });
  writeFileSync(at("rw/given"), `for ${name}\n`);
  writeFileSync(at("ro/fixed"), "fixed\n");
  chownSync(at("rw/given"), 1234, 4321);
  writeFileSync(at("outside/secret"), SECRET);
  symlinkSync(at("outside"), at("rw/way-out"));
  symlinkSync("../outside/secret", at("rw/up-and-out"));
  return at;
}

async function create(name: string, kernel: string, ...mounts: string[]): Promise<void> {
  await banger.ok(
    ...["vm", "create", "--image", "busybox", "--name", name, "--mode", "direct", "--net", "none"],
    ...["--memory", "256M", "--kernel-ref", kernel, ...mounts],
  );
}

async function tryIn(name: string, script: string): Promise<Result> {
  return await banger.call(["vm", "exec", name, "--", "sh", "-c", script]);
}

async function inside(name: string, script: string): Promise<string> {
  return await banger.ok("vm", "exec", name, "--", "sh", "-c", script);
}

const ways: [string, Transport][] = [
  ["booted", "9p"],
  ["restored", "9p"],
  ["booted", "fuse"],
  ["restored", "fuse"],
];

test.each(ways)(
  "a directory of the host in a machine that is %s, by %s",
  async (start, transport) => {
    const how = `${start}-${transport}`;
    const at = directories(how);
    await create(how, KERNELS[transport], "-v", `${at("rw")}:/rw`, "-v", `${at("ro")}:/ro:ro`);
    expect(await inside(how, "grep ' /rw ' /proc/mounts")).toContain(
      transport === "9p" ? " 9p " : " fuse.banger ",
    );
    const { template } = await banger.json<{ template?: string }>("vm", "show", how);
    expect(template, "restored from a template").toBeString();

    // Live in both directions, with the owners and modes that each side has given.
    expect(await inside(how, "cat /rw/given; stat -c %u:%g /rw/given")).toBe(
      `for ${how}\n1234:4321\n`,
    );
    await inside(
      how,
      "umask 027; echo made >/rw/dir/made; chown 77:78 /rw/dir/made; ln -s given /rw/link",
    );
    expect(readFileSync(at("rw/dir/made"), "utf8")).toBe("made\n");
    expect(statSync(at("rw/dir/made"))).toMatchObject({ uid: 77, gid: 78 });
    expect(statSync(at("rw/dir/made")).mode & 0o7777).toBe(0o640);
    writeFileSync(at("rw/later"), "later\n");
    expect(await inside(how, "cat /rw/later /rw/link")).toBe(`later\nfor ${how}\n`);
    await inside(how, "mv /rw/later /rw/dir/moved && rm /rw/link");
    expect([existsSync(at("rw/dir/moved")), existsSync(at("rw/later"))]).toEqual([true, false]);

    // Read-only is the host's word: the guest's root can mount it otherwise, and still changes nothing.
    expect(await inside(how, "cat /ro/fixed")).toBe("fixed\n");
    const changes = ["echo x >/ro/new", "echo x >/ro/fixed", "rm /ro/fixed", "chmod 0 /ro/fixed"];
    for (const change of changes) {
      const { status } = await tryIn(how, `mount -o remount,rw /ro; ${change}`);
      expect(status, change).not.toBe(0);
    }
    expect(readFileSync(at("ro/fixed"), "utf8")).toBe("fixed\n");
    expect(statSync(at("ro/fixed")).mode & 0o777).not.toBe(0);
    expect(existsSync(at("ro/new"))).toBe(false);

    // Symlinks are followed by the guest, in its own file system.
    for (const path of ["/rw/way-out/secret", "/rw/up-and-out", "/rw/../outside/secret"]) {
      expect((await tryIn(how, `cat ${path}`)).stdout, path).toBe("");
    }
    await inside(how, `mkdir -p ${at("outside")}; echo own >${at("outside")}/secret`);
    expect(await inside(how, "cat /rw/way-out/secret")).toBe("own\n");
    expect(readFileSync(at("outside/secret"), "utf8")).toBe(SECRET);

    // Nor does one lead out that replaces a directory which the guest has open.
    const waiting = "cd /rw/dir; touch /rw/ready; until [ -e /rw/swapped ]; do sleep 0.2; done";
    const guest = tryIn(
      how,
      `${waiting}; cat secret ../dir/secret; echo x >planted; touch /rw/dir/planted`,
    );
    await until(() => existsSync(at("rw/ready")));
    renameSync(at("rw/dir"), at("rw/was"));
    symlinkSync("../outside", at("rw/dir"));
    writeFileSync(at("rw/swapped"), "");
    expect((await guest).stdout).not.toContain(SECRET.trim());
    expect(existsSync(at("outside/planted"))).toBe(false);

    // Both ends of FUSE outlive the daemon, and QEMU serves 9P itself.
    const held =
      "exec 3<>/rw/kept; echo one >&3; until [ -e /rw/again ]; do sleep 0.2; done; echo two >&3";
    await banger.ok("vm", "session", "start", how, "held", "--", "sh", "-c", held);
    await until(() => existsSync(at("rw/kept")) && statSync(at("rw/kept")).size > 0);
    await banger.ok("daemon", "stop");
    expect(await inside(how, "cat /rw/kept")).toBe("one\n");
    writeFileSync(at("rw/again"), "");
    await until(() => readFileSync(at("rw/kept"), "utf8") === "one\ntwo\n");

    // What the guest makes as a link to the host's root is a link, and stays one.
    await inside(how, "ln -s / /rw/root");
    expect(lstatSync(at("rw/root")).isSymbolicLink()).toBe(true);
    await banger.ok("vm", "stop", how);

    // A directory that was replaced by a symlink, or is gone, is not mounted in its place.
    renameSync(at("rw"), at("gone"));
    const { status, stderr } = await banger.call(["vm", "start", how]);
    expect(status).not.toBe(0);
    expect(stderr).toContain("no such directory");
    await banger.ok("vm", "rm", how);
  },
);

test("a volume is attached to a stopped machine, and grows while it is in use and while not", async () => {
  await create("box", KERNELS.fuse);
  const refused = await banger.call(["vm", "volume", "attach", "box", "data:/data"]);
  expect(refused.stderr).toContain("banger vm stop box");
  await banger.ok("vm", "stop", "box");
  await banger.ok("volume", "create", "data", "--size", "64M");
  await banger.ok("vm", "volume", "attach", "box", "data:/data");
  await banger.ok("vm", "start", "box");
  await inside("box", "echo kept >/data/file; sync");

  const size_kib = async () => Number(await inside("box", "df -k /data | awk 'END { print $2 }'"));
  const small = await size_kib();
  await banger.ok("volume", "resize", "data", "512M");
  const large = await size_kib();
  expect(large / small).toBeGreaterThan(5);
  expect(await inside("box", "head -c 100m /dev/zero >/data/big && cat /data/file")).toBe("kept\n");

  await banger.ok("vm", "stop", "box");
  await banger.ok("volume", "resize", "data", "2G");
  await banger.ok("vm", "start", "box");
  expect((await size_kib()) / large).toBeGreaterThan(3);
  expect(await inside("box", "cat /data/file; wc -c </data/big")).toBe("kept\n104857600\n");
  await banger.ok("vm", "stop", "box");
  await banger.ok("vm", "volume", "detach", "box", "data");
  await banger.ok("volume", "rm", "data");
  await banger.ok("vm", "rm", "box");
});
