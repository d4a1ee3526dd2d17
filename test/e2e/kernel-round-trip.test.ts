/**
 * A kernel's way from one computer to another: built (or, unless BANGER_TEST_KERNELS
 * is set, taken from Debian's package), imported, published to a server, and on another installation with an
 * empty home found in a signed catalog, pulled, and booted.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout } from "bun:test";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import type { CatalogEntry, Kernel } from "#api/kernel.ts";
import { walk } from "#base/files/walk.ts";
import type { Manifest } from "#kernels/manifest.ts";
import { busyboxLayout } from "#test/busybox.ts";
import { type FileServer, serveFiles } from "#test/file-server.ts";
import { hostPrograms } from "#test/host-program.ts";
import { type Installation, install } from "#test/installation.ts";
import { COMPILE_TIMEOUT_MS, kernelCache, mayCompile } from "#test/kernel-builds.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { testNeeding } from "#test/needs.ts";
import { giveKernel, KERNEL } from "#test/pulled-kernel.ts";

setDefaultTimeout(mayCompile ? COMPILE_TIMEOUT_MS : LIMIT_MS);

const test = testNeeding("root", "qemu-system-x86_64", "busybox", "nft", "ip");
const RECIPE = "generic-6.12";
const NAME = "round-6.12";

/** Prints one line for each thing that containers need, or fails. busybox's shell takes its own `ip` unless told where. */
const CONTAINER_NEEDS = `set -e
mkdir -p /tmp/o
mount -t tmpfs none /tmp/o
cd /tmp/o
mkdir l u w m
echo low > l/f
mount -t overlay overlay -o lowerdir=l,upperdir=u,workdir=w m
echo up >> m/f
echo "overlay $(cat m/f | tr '\\n' ' ')$(cat u/f | wc -l)"
/tools/ip netns add other
/tools/ip link add v0 type veth peer name v1 netns other
/tools/ip link add br0 type bridge
/tools/ip link set v0 master br0 up
/tools/ip addr add 10.9.0.1/24 dev br0
/tools/ip link set br0 up
/tools/ip -n other addr add 10.9.0.2/24 dev v1
/tools/ip -n other link set v1 up
echo "veth $(ping -c 1 -w 20 10.9.0.2 | grep -c 'bytes from')"
echo "bridge $(ls /sys/class/net/br0/brif)"
/tools/nft add table inet t
/tools/nft add chain inet t c '{ type nat hook postrouting priority 100; }'
/tools/nft add rule inet t c ip saddr 10.0.0.0/8 counter masquerade
echo "nft $(/tools/nft list ruleset | grep -c masquerade)"
mkdir -p /tmp/cg
mount -t cgroup2 none /tmp/cg
echo "+memory +pids" > /tmp/cg/cgroup.subtree_control
mkdir /tmp/cg/x
echo 100000000 > /tmp/cg/x/memory.max
echo 10 > /tmp/cg/x/pids.max
sh -c 'echo 0 > /tmp/cg/x/cgroup.procs; cat /proc/self/cgroup'
/tools/ip link add wg0 type wireguard
echo "wireguard $(cat /sys/class/net/wg0/type)"
/tools/unshare -n -m -p -f -u -i sh -c 'echo "namespaces $(/tools/ip link | grep -c lo:)"'
`;

describe("a kernel", () => {
  let author: Installation;
  let user: Installation;
  let server: FileServer;
  let served: string;

  beforeAll(async () => {
    served = mkdtempSync("/tmp/banger-served-");
    server = await serveFiles(served);
    author = install();
    user = install();
    // What is compiled in one run is found by the next.
    mkdirSync(join(author.home, "cache/banger"), { recursive: true });
    mkdirSync(kernelCache.builds, { recursive: true });
    symlinkSync(kernelCache.builds, join(author.home, "cache/banger/kernel-builds"));
    mkdirSync(kernelCache.downloads, { recursive: true });
    symlinkSync(kernelCache.downloads, join(author.home, "cache/banger/downloads"));
  });

  afterAll(async () => {
    try {
      await Promise.all([author[Symbol.asyncDispose](), user[Symbol.asyncDispose]()]);
    } finally {
      await server[Symbol.asyncDispose]();
      rmSync(served, { recursive: true, force: true });
    }
  });

  async function made(recipe: string): Promise<Kernel> {
    if (!mayCompile) {
      await giveKernel(author);
      return await author.json<Kernel>("kernel", "show", KERNEL);
    }
    const command = ["kernel", "build", recipe];
    const result = await author.call(command, { timeout_ms: COMPILE_TIMEOUT_MS });
    expect([result.status, result.stderr]).toEqual([0, expect.any(String)]);
    return await author.json<Kernel>(
      "kernel",
      "show",
      result.stdout.trim().split("\n").at(-1) ?? "",
    );
  }

  /** Of Debian's modules those that a boot needs: the others would take a minute to pack. */
  function slim({ path, version }: Kernel): string {
    const folder = join(author.home, "slim");
    const { modules } = JSON.parse(readFileSync(join(path, "manifest.json"), "utf8")) as Manifest;
    const wanted = new Set(modules.map(({ name }) => `${name}.ko.xz`));
    for (const name of ["vmlinux", "config"]) {
      cpSync(join(path, name), join(folder, name), { recursive: true });
    }
    const tree = join("modules", version);
    for (const name of existsSync(join(path, tree)) ? [...wanted, "modules.builtin"] : []) {
      const found = Array.from(walk(join(path, tree))).find(({ entry }) => entry.name === name);
      if (found) cpSync(join(path, tree, found.path), join(folder, tree, found.path));
    }
    return folder;
  }

  test("goes from its maker to somebody else's machine", async () => {
    const original = await made(RECIPE);
    await author.ok("kernel", "import", "--from", slim(original), "--name", NAME);
    const key = (await author.ok("kernel", "catalog", "keygen", "key")).trim();
    const published = await author.ok(
      ...["kernel", "publish", NAME, "--to", served, "--url", server.url],
      ...["--catalog", "catalog.json", "--key", "key"],
    );
    expect(published.trim()).toBe(`${server.url}/${NAME}-amd64.tar.zst`);
    for (const name of ["catalog.json", "catalog.json.minisig"]) {
      copyFileSync(join(author.home, name), join(served, name));
    }

    await user.ok("kernel", "catalog", "add", `${server.url}/catalog.json`, "--key", key);
    const offers = await user.json<CatalogEntry[]>("kernel", "list", "--available");
    expect(offers.find(({ name }) => name === NAME)).toMatchObject({
      pulled: false,
      source: "tarball",
      version: original.version,
    });
    await user.ok("kernel", "pull", NAME);
    const pulled = await user.json<Kernel>("kernel", "show", NAME);
    expect([pulled.digest, pulled.features]).toEqual([original.digest, original.features]);
    await busyboxLayout(join(user.home, "busybox"));
    await user.ok(
      "image",
      "pull",
      `oci:${user.home}/busybox`,
      "--name",
      "busybox",
      "--kernel-ref",
      NAME,
    );
    const said = await user.ok("vm", "run", "--net", "none", "busybox", "--", "uname", "-r");
    expect(said.trim()).toBe(original.version);

    await user.ok("kernel", "default", NAME);
    const inUse = await user.call(["kernel", "rm", NAME]);
    expect([inUse.status, inUse.stderr]).toEqual([6, expect.stringContaining("image busybox")]);
    expect(inUse.stderr).toContain("new machines (default kernel)");
    await author.ok(
      ...["kernel", "unpublish", NAME, "--to", served, "--catalog", "catalog.json", "--key", "key"],
    );
    expect((await user.call(["kernel", "pull", NAME, "--force"])).status).toBe(4);
    expect((await user.json<Kernel>("kernel", "show", NAME)).digest).toBe(original.digest);
  });

  // There is no such kernel where none may be compiled.
  (mayCompile ? test : () => {})("that is generic meets the needs of containers", async () => {
    const kernel = await made(RECIPE);
    const layout = join(author.home, "tools");
    await busyboxLayout(layout, { more: [await hostPrograms("nft", "ip", "unshare")] });
    await author.ok(
      "image",
      "pull",
      `oci:${layout}`,
      "--name",
      "tools",
      "--kernel-ref",
      kernel.name,
    );
    const run = ["vm", "run", "--net", "none", "tools", "--", "sh", "-c", CONTAINER_NEEDS];
    const said = await author.ok(...run);
    expect(said.replaceAll("\r", "").trim().split("\n")).toEqual([
      "overlay low up 2",
      "veth 1",
      "bridge v0",
      "nft 1",
      "0::/x",
      "wireguard 65534",
      "namespaces 1",
    ]);
  });
});
