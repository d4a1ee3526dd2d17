/**
 * What a user gets for what cannot be done: one error that says why, the hint that mends it, the
 * exit status of its kind (src/base/error.ts), and nothing left behind.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Image } from "#api/image.ts";
import type { Kernel } from "#api/kernel.ts";
import type { Vm } from "#api/vm.ts";
import { errorCodes } from "#base/error.ts";
import { busyboxLayout, type TarEntry } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";
import { testNeeding } from "#test/needs.ts";
import { giveKernel, KERNEL } from "#test/pulled-kernel.ts";
import { pushLayout, startRegistry } from "#test/registry.ts";

const VM = "steady";

let banger: Installation;
/** What is there before each test, and must be there after it. */
let before: string;

beforeAll(async () => {
  banger = install();
  await giveKernel(banger);
  await busyboxLayout(path("busybox"));
  await banger.ok(
    "image",
    "pull",
    `oci:${path("busybox")}`,
    "--name",
    "busybox",
    "--kernel-ref",
    KERNEL,
  );
  await banger.ok(
    "vm",
    "create",
    "--image",
    "busybox",
    "--name",
    VM,
    "--mode",
    "direct",
    "--net",
    "none",
  );
  before = await inventory();
});

afterEach(async () => {
  expect(await inventory()).toBe(before);
});

afterAll(async () => {
  await banger?.[Symbol.asyncDispose]();
});

describe("names", () => {
  test("an unknown image that is nearly one of ours", async () => {
    await expectError(["vm", "run", "busibox", "--", "true"], {
      code: "not_found",
      message: '"busibox"',
      hint: "busybox",
    });
  });

  test("an unknown kernel that is nearly one of the catalog", async () => {
    await expectError(["kernel", "pull", "debian-6.21"], {
      code: "not_found",
      message: '"debian-6.21"',
      hint: KERNEL,
    });
  });

  test("a kernel that is not here, for a new machine", async () => {
    const args = ["vm", "create", "--image", "busybox", "--kernel-ref", "debian-6.21"];
    await expectError(args, { code: "not_found", message: '"debian-6.21"', hint: KERNEL });
  });

  test("an unknown machine that is nearly one of ours", async () => {
    await expectError(["vm", "show", "stedy"], { code: "not_found", message: '"stedy"', hint: VM });
  });

  test("an unknown command that is nearly one of ours", async () => {
    await expectError(["vm", "strat", VM], {
      code: "invalid_argument",
      message: "strat",
      hint: "start",
    });
  });

  test("a name that is taken", async () => {
    const args = ["vm", "create", "--image", "busybox", "--name", VM, "--net", "none"];
    await expectError(args, { code: "already_exists", message: `"${VM}"`, hint: "banger vm rm" });
  });

  test("a name that is no name", async () => {
    const args = ["vm", "create", "--image", "busybox", "--name", "No Good!"];
    await expectError(args, { code: "invalid_argument", message: "name" });
  });
});

describe("states", () => {
  test("start of a machine that runs", async () => {
    expect(await banger.ok("vm", "start", VM)).toBe(`${VM}\n`);
  });

  test("rm of a machine that runs", async () => {
    await expectError(["vm", "rm", VM], {
      code: "invalid_state",
      message: "running",
      hint: "--force",
    });
  });

  test("ssh, exec and kill of a machine that is stopped", async () => {
    const args = ["--image", "busybox", "--name", "idle", "--mode", "direct", "--net", "none"];
    await banger.ok("vm", "create", "--no-start", ...args);
    const hint = "banger vm start idle";
    await expectError(["vm", "exec", "idle", "--", "true"], {
      code: "invalid_state",
      message: "stopped",
      hint,
    });
    const ssh = await banger.call(["vm", "ssh", "idle", "--", "true"]);
    expect(ssh.status).not.toBe(0);
    expect(ssh.stderr).toContain(hint);
    await expectError(["vm", "kill", "idle"], { code: "invalid_state", message: "stopped" });
    await banger.ok("vm", "rm", "idle");
  });

  test("rm of an image and of a kernel that are used", async () => {
    await expectError(["image", "rm", "busybox"], {
      code: "invalid_state",
      message: VM,
      hint: "banger vm rm",
    });
    await expectError(["kernel", "rm", KERNEL], { code: "invalid_state", message: KERNEL });
  });
});

describe("images", () => {
  test("an image for another processor", async () => {
    await busyboxLayout(path("foreign"), { architecture: "arm64" });
    const args = ["image", "pull", `oci:${path("foreign")}`];
    await expectError(args, { code: "unsupported", message: "arm64", hint: "--platform" });
  });

  test("a registry that is down", async () => {
    const registry = await startRegistry();
    await registry.stop();
    const args = ["image", "pull", `${registry.host}/a:b`];
    await expectError(args, { code: "unavailable", message: registry.host, hint: "registry" });
  });

  test("a registry without that image", async () => {
    await using registry = await startRegistry();
    const args = ["image", "pull", `${registry.host}/a:b`];
    await expectError(args, { code: "not_found", message: `${registry.host}/a:b` });
  });

  test("a registry that asks who we are", async () => {
    const login = { user: "u", password: "p" };
    await using registry = await startRegistry({ login });
    const args = ["image", "pull", `${registry.host}/a:b`];
    await expectError(args, { code: "unauthorized", message: registry.host, hint: "login" });
  });

  test("a layer that is not what its digest says", async () => {
    await using registry = await startRegistry();
    await busyboxLayout(path("honest"), {
      more: [[{ name: "only-here", body: "x".repeat(5000) }]],
    });
    await pushLayout(path("honest"), { host: registry.host, name: "a", tag: "b" });
    const blobs = join(registry.folder, "docker/registry/v2/blobs/sha256");
    const layer = largestFile(blobs);
    const bytes = readFileSync(layer);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    writeFileSync(layer, bytes);
    await expectError(["image", "pull", `${registry.host}/a:b`], {
      code: "integrity",
      message: "digest",
    });
  });

  test("a layer with a file in the root's place", async () => {
    await pullLayer([{ name: "../..", body: "x" }], { code: "integrity", message: "root" });
  });

  test("a layer that goes through an absolute link stays inside the image", async () => {
    const target = path("outside");
    mkdirSync(target);
    await busyboxLayout(path("linked"), {
      more: [
        [{ name: "door", type: "symlink", linkname: target }],
        [{ name: "door/evil", body: "inside" }],
      ],
    });
    await banger.ok("image", "pull", `oci:${path("linked")}`, "--name", "linked");
    expect(readdirSync(target)).toEqual([]);
    const run = ["vm", "run", "--net", "none", "linked", "--", "cat", "/door/evil"];
    expect(await banger.ok(...run)).toBe("inside");
    await banger.ok("image", "rm", "linked");
  });

  testNeeding("root", "mount")("a disk that fills up half way", async () => {
    await using small = install();
    const state = join(small.home, "state");
    mkdirSync(state);
    const mount = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", state]);
    expect(mount.exitCode).toBe(0);
    try {
      const noise = crypto.getRandomValues(new Uint8Array(65_536));
      const body = Buffer.concat(Array.from({ length: 160 }, () => noise));
      await busyboxLayout(join(small.home, "big"), { more: [[{ name: "noise", body }]] });
      const result = await small.call(["image", "pull", `oci:${small.home}/big`]);
      expect(result.stderr).toMatch(/full|space/);
      expect(result.status).toBe(errorCodes.no_space.exit);
      expect(readdirSync(join(state, "banger/images"))).toEqual([]);
      await small.ok("daemon", "stop");
    } finally {
      Bun.spawnSync(["umount", "-l", state]);
    }
  });
});

describe("machines", () => {
  test("QEMU that does not exist", async () => {
    await using other = install();
    mkdirSync(join(other.home, "config/banger"), { recursive: true });
    writeFileSync(
      join(other.home, "config/banger/config.toml"),
      'qemu_bin = "/nonexistent/qemu"\n',
    );
    const { kernel, image } = await borrow(other);
    const args = ["vm", "run", "--kernel-ref", kernel, "--net", "none", image, "--", "true"];
    const result = await other.call(args);
    expect(result.stderr).toContain('"/nonexistent/qemu" is not installed');
    expect(result.stderr).toContain("apt-get install qemu-system-x86");
    expect(result.status).toBe(125);
    expect(await other.json<Vm[]>("vm", "list")).toEqual([]);
    const doctor = await other.call(["doctor"]);
    expect(doctor.stdout).toContain("apt-get install qemu-system-x86");
    expect(doctor.status).not.toBe(0);
  });

  test("a guest whose kernel panics shows the console's last lines", async () => {
    const command = "echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger; sleep 60";
    const args = ["vm", "run", "--net", "none", "busybox", "--", "sh", "-c", command];
    await expectError(args, { code: "guest", message: "Kernel panic" });
  });

  test("a disk and a memory that are too small, a mode that is none", async () => {
    const make = (...flags: string[]) => ["vm", "create", "--image", "busybox", ...flags];
    await expectError(make("--memory", "1M"), { code: "invalid_argument", message: "memory" });
    await expectError(make("--disk", "lots"), { code: "invalid_argument", message: "lots" });
    await expectError(make("--net", "wifi"), { code: "invalid_argument", message: "wifi" });
  });
});

describe("the daemon", () => {
  test("a socket left by one that was killed", async () => {
    const { pid } = await banger.json<{ pid: number }>("daemon", "status");
    process.kill(pid, "SIGKILL");
    expect((await banger.json<Vm[]>("vm", "list")).map(({ state }) => state)).toEqual(["running"]);
  });

  test("configuration that makes no sense says where", async () => {
    await using other = install();
    mkdirSync(join(other.home, "config/banger"), { recursive: true });
    writeFileSync(join(other.home, "config/banger/config.toml"), 'vm.cpus = "many"\n');
    const result = await other.call(["config", "show"]);
    expect(result.stderr).toContain("vm.cpus");
    expect(result.stderr).toContain("config.toml");
    expect(result.status).toBe(errorCodes.invalid_argument.exit);
  });
});

interface Expected {
  code: keyof typeof errorCodes;
  /** In the error's line. */
  message: string;
  /** In the hint's line. */
  hint?: string;
}

/** The command fails with exactly one error, nothing on stdout, and the status of its kind. */
async function expectError(args: string[], expected: Expected): Promise<void> {
  const { status, stdout, stderr } = await banger.call(args);
  const errors = stderr.split("\n").filter((line) => line.startsWith("error:"));
  expect({ args, stdout, stderr, errors: errors.length }).toMatchObject({ stdout: "", errors: 1 });
  expect(stderr.slice(stderr.indexOf("error:"))).toContain(expected.message);
  if (expected.hint) expect(stderr.slice(stderr.indexOf("\nhint:"))).toContain(expected.hint);
  // Where a command of the user's has a status of its own, ours are all one.
  const own = args[0] === "vm" && ["run", "exec"].includes(args[1] ?? "");
  const wanted = own ? 125 : errorCodes[expected.code].exit;
  expect({ args, status }).toEqual({ args, status: wanted });
}

async function pullLayer(entries: TarEntry[], expected: Expected): Promise<void> {
  const layout = path(`layer-${crypto.randomUUID()}`);
  await busyboxLayout(layout, { more: [entries] });
  await expectError(["image", "pull", `oci:${layout}`, "--name", "spoiled"], expected);
}

/** Gives another installation the kernel and the image of this one. */
async function borrow(other: Installation): Promise<{ kernel: string; image: string }> {
  const kernel = await banger.json<Kernel>("kernel", "show", KERNEL);
  await other.ok("kernel", "import", "--from", kernel.path, "--name", KERNEL);
  await other.ok("image", "pull", `oci:${path("busybox")}`, "--name", "busybox");
  return { kernel: KERNEL, image: "busybox" };
}

/** Records and folders: what a failed command must not have changed. */
async function inventory(): Promise<string> {
  const names = (list: { name: string }[]) => list.map(({ name }) => name).sort();
  const state = join(banger.home, "state/banger");
  const folders = (name: string) => readdirSync(join(state, name)).sort();
  const lists = {
    vms: names(await banger.json<Vm[]>("vm", "list")),
    images: names(await banger.json<Image[]>("image", "list")),
    kernels: names(await banger.json<Kernel[]>("kernel", "list")),
    folders: [folders("vms"), folders("images"), folders("kernels")],
    machines: banger.processes().filter(({ command }) => command.includes("qemu")).length,
  };
  return JSON.stringify(lists, null, 2);
}

function largestFile(folder: string): string {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  return files.toSorted((a, b) => Bun.file(b).size - Bun.file(a).size)[0] ?? "";
}

function path(name: string): string {
  return join(banger.home, name);
}
