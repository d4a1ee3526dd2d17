import { afterAll, beforeAll, describe, expect } from "bun:test";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Progress } from "#base/progress.ts";
import { runOk, which } from "#base/run.ts";
import { downloadPackage, hasPackageLists, resolveKernelPackage } from "#kernels/apt.ts";
import { checks } from "#kernels/checks.ts";
import { importKernel } from "#kernels/import.ts";
import { moduleName } from "#kernels/modules.ts";
import { pullKernel } from "#kernels/pull.ts";
import { KernelService } from "#kernels/service.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { testNeeding } from "#test/needs.ts";
import { testCache } from "#test/tiny-guest.ts";

const needs = ["apt-get", "dpkg-deb", "xz", "depmod", "modprobe", "debugfs", "e2fsck"];
const test = testNeeding(...needs);
const NAME = "debian-6.12";

describe("kernels of Debian packages", () => {
  let folder: string;
  let dir: string;
  let downloads: string;

  beforeAll(async () => {
    folder = mkdtempSync("/tmp/banger-kernels-");
    dir = join(folder, "kernels");
    downloads = testCache() ?? join(folder, "downloads");
    mkdirSync(downloads, { recursive: true });
    if (needs.every((program) => which(program))) {
      await pullKernel(NAME, { dir, cache: downloads });
    }
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("a pull leaves a kernel that can boot and says what it can do", async () => {
    const service = new KernelService({ dir, downloads });
    const [kernel] = await service.list();
    expect(kernel?.name).toBe(NAME);
    expect(kernel?.version).toMatch(/^6\.12\.\d+.*-cloud-amd64$/);
    expect(kernel?.features).toEqual(
      expect.arrayContaining(["containers", "ext4", "nftables", "overlay", "pvh", "vsock"]),
    );
    expect(kernel?.features).not.toContain("ip-pnp");
    const boot = await service.boot(NAME);
    expect(readFileSync(boot.path).toString("latin1", 0, 4)).toBe("\x7fELF");
    const names = boot.modules.map(({ name }) => name);
    const order = [
      "virtio_mmio",
      "virtio_blk",
      "failover",
      "net_failover",
      "virtio_net",
      "overlay",
    ];
    expect(names).toEqual(order);
    for (const { path } of boot.modules) {
      expect(readFileSync(path).toString("latin1", 0, 4)).toBe("\x7fELF");
    }
    const withVsock = (await service.boot(NAME, { vsock: true })).modules.map(({ name }) => name);
    expect(withVsock.slice(0, order.length)).toEqual(order);
    expect(withVsock.at(-1)).toBe("vmw_vsock_virtio_transport");
    expect(withVsock).toContain("vsock");
    expect(readdirSync(join(dir, NAME)).sort()).toEqual([
      "boot",
      "config",
      "manifest.json",
      "modules",
      "modules.ext4",
      "vmlinux",
    ]);
    const { size, blocks } = statSync(boot.path);
    expect(blocks * 512).toBeLessThan(size);
    expect((await service.available()).find(({ name }) => name === NAME)?.pulled).toBe(true);
  });

  test("modprobe and depmod agree with the indexes of the module image", async () => {
    const service = new KernelService({ dir, downloads });
    const { modules, moduleImage = "" } = await service.boot(NAME, { vsock: true });
    const { version } = await service.show(NAME);
    await runOk(["e2fsck", "-fn", moduleImage]);
    const [own, truth] = ["own", "truth"].map((name) => join(folder, name, "lib/modules", version));
    for (const tree of [own ?? "", truth ?? ""]) {
      mkdirSync(tree, { recursive: true });
      await runOk(["debugfs", "-R", `rdump / ${tree}`, moduleImage]);
    }
    await runOk(["depmod", "-b", join(folder, "truth"), version]);
    const sorted = (tree = "", name = ""): string[] =>
      readFileSync(join(tree, name), "utf8")
        .split("\n")
        .filter((line) => line !== "" && !line.startsWith("#"))
        .sort();
    const more = ["amd", "intel"].flatMap((name) =>
      ["char-major-10-232", "devname:kvm"].map((alias) => `alias ${alias} kvm_${name}`),
    );
    const nodes = ["kvm_amd kvm c10:232", "kvm_intel kvm c10:232"];
    expect(sorted(own, "modules.alias")).toEqual(
      [...sorted(truth, "modules.alias"), ...more].sort(),
    );
    expect(sorted(own, "modules.softdep")).toEqual(sorted(truth, "modules.softdep"));
    expect(sorted(own, "nodes")).toEqual([...sorted(truth, "modules.devname"), ...nodes].sort());
    const asked = async (root: string, option: string, name: string): Promise<string[]> => {
      const place = ["-C", "/dev/null", "-d", join(folder, root), "-S", version];
      const stdout = await runOk(["modprobe", ...place, option, name]);
      return stdout.replaceAll(join(folder, root), "").split("\n").filter(Boolean);
    };
    for (const alias of ["net-pf-16-proto-12", "char-major-10-200", "fs-btrfs", "rtnl-link-veth"]) {
      expect(await asked("own", "-R", alias)).toEqual(await asked("truth", "-R", alias));
    }
    for (const name of ["xt_MASQUERADE", "wireguard", "kvm-amd", "btrfs", "virtio_pci"]) {
      const [ours, theirs] = [await asked("own", "-D", name), await asked("truth", "-D", name)];
      // Both are in an order in which they can be loaded.
      expect(ours.toSorted()).toEqual(theirs.toSorted());
      expect(ours.at(-1)).toBe(theirs.at(-1));
    }
    const needsOf = new Map(
      sorted(truth, "modules.dep").map((line) => {
        const [path = "", list = ""] = line.split(":");
        return [moduleName(path), list.trim().split(" ").filter(Boolean).map(moduleName)] as const;
      }),
    );
    const loaded = new Set<string>();
    for (const { name } of modules) {
      for (const need of needsOf.get(name) ?? ["not in modules.dep"]) {
        expect(loaded).toContain(need);
      }
      loaded.add(name);
    }
  });

  test("pulling again changes nothing, and --force replaces", async () => {
    const before = statSync(join(dir, NAME)).ino;
    expect((await pullKernel(NAME, { dir, cache: downloads })).changed).toBe(false);
    expect(statSync(join(dir, NAME)).ino).toBe(before);
    const forced = await pullKernel(NAME, { dir, cache: downloads, force: true });
    expect(forced.changed).toBe(true);
    expect(statSync(join(dir, NAME)).ino).not.toBe(before);
    expect(readdirSync(dir)).toEqual([NAME]);
  });

  test("a damaged bundle is pulled anew", async () => {
    rmSync(join(dir, NAME, "vmlinux"));
    const error = await bangerErrorOf(new KernelService({ dir, downloads }).boot(NAME));
    expect([error.code, error.hint]).toEqual(["integrity", `banger kernel pull --force ${NAME}`]);
    expect((await pullKernel(NAME, { dir, cache: downloads })).changed).toBe(true);
    expect(existsSync(join(dir, NAME, "vmlinux"))).toBe(true);
  });

  test("reports its progress, and a cancelled pull leaves nothing", async () => {
    const elsewhere = join(folder, "cancelled");
    for (const step of ["resolve", "download", "unpack", "modules"]) {
      const abort = new AbortController();
      const seen: Progress[] = [];
      const onProgress = (progress: Progress): void => {
        seen.push(progress);
        if (progress.step === step) abort.abort();
      };
      // Without a cache, so that the download is on the way.
      const cache = step === "download" ? undefined : downloads;
      const work = pullKernel(NAME, { dir: elsewhere, cache, signal: abort.signal, onProgress });
      expect((await bangerErrorOf(work)).code).toBe("cancelled");
      expect(existsSync(elsewhere) ? readdirSync(elsewhere) : []).toEqual([]);
      if (step === "download") {
        expect(seen.find((progress) => progress.step === step)?.total).toBeGreaterThan(1_000_000);
      }
    }
  });

  test("a tampered package is not used", async () => {
    const wanted = await resolveKernelPackage("linux-image-6.12-cloud-amd64", "amd64");
    const cache = join(folder, "tampered");
    mkdirSync(cache);
    const file = join(cache, wanted.file);
    copyFileSync(await downloadPackage(wanted, folder, { cache: downloads }), file);
    const bytes = readFileSync(file);
    bytes[5000] = (bytes[5000] ?? 0) ^ 1;
    writeFileSync(file, bytes);
    const target = join(folder, "fetched");
    mkdirSync(target);
    const path = await downloadPackage(wanted, target, { cache });
    expect(path).not.toBe(file);
    const lying = { ...wanted, sha256: `sha256:${"0".repeat(64)}` as typeof wanted.sha256 };
    const again = join(folder, "again");
    mkdirSync(again);
    expect((await bangerErrorOf(downloadPackage(lying, again))).code).toBe("integrity");
  });

  test("says which package or kernel there is not", async () => {
    expect(await hasPackageLists()).toBe(true);
    const error = await bangerErrorOf(resolveKernelPackage("linux-image-0.1-none", "amd64"));
    expect([error.code, error.message]).toEqual([
      "not_found",
      expect.stringContaining('"linux-image-0.1-none"'),
    ]);
    const slip = await bangerErrorOf(pullKernel("debian-6.21", { dir }));
    expect([slip.code, slip.hint]).toEqual(["not_found", expect.stringContaining(`"${NAME}"`)]);
    const found = await checks();
    expect(found.map(({ status }) => status)).toEqual(found.map(() => "ok"));
  });

  test("imports what a pull unpacked, and the package's own bzImage", async () => {
    const service = new KernelService({ dir: join(folder, "imported"), downloads });
    const pulled = join(dir, NAME);
    const copy = await service.import({ from: pulled, name: "copy-6.12" });
    const original = await new KernelService({ dir, downloads }).show(NAME);
    expect([copy.digest, copy.features]).toEqual([original.digest, original.features]);
    const { modules } = await service.boot("copy-6.12");
    expect(modules.map(({ name }) => name)).toContain("virtio_net");
    const taken = await bangerErrorOf(service.import({ from: pulled, name: "copy-6.12" }));
    expect(taken.code).toBe("already_exists");

    const wanted = await resolveKernelPackage("linux-image-6.12-cloud-amd64", "amd64");
    const root = join(folder, "package");
    const deb = await downloadPackage(wanted, folder, { cache: downloads });
    await runOk(["dpkg-deb", "-x", deb, root]);
    const unpacked = await service.import({ from: root });
    expect([unpacked.name, unpacked.digest]).toEqual(["local-6.12", original.digest]);
    expect(unpacked.features).toEqual(original.features);

    const boot = join(root, "boot");
    const vmlinuz = readdirSync(boot).find((name) => name.startsWith("vmlinuz")) ?? "";
    truncateSync(join(boot, vmlinuz), 5_000_000);
    const options = { dir: join(folder, "imported"), from: boot, name: "cut-6.12" };
    expect((await bangerErrorOf(importKernel(options))).message).toContain("truncated");
    await service.remove("copy-6.12");
    expect((await service.list()).map(({ name }) => name)).toEqual(["local-6.12"]);
    expect(readdirSync(join(folder, "imported"))).toEqual(["local-6.12"]);
  });
});
