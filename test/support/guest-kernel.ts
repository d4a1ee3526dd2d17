/** Debian's cloud kernel and its few modules, unpacked without being installed, and shared by test runs. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { runOk } from "#base/run.ts";
import type { InitrdModule } from "#guest/initrd.ts";

const META_PACKAGE = "linux-image-6.12-cloud-amd64";
/** In the order of loading; each comes after what it depends on. */
const MODULES = ["virtio_mmio", "virtio_blk", "failover", "net_failover", "virtio_net", "overlay"];

export interface GuestKernel {
  path: string;
  modules: InitrdModule[];
}

/** What is slow to make is kept between runs. */
const CACHE = join(import.meta.dir, "../../build/cache");

/** Makes `name` in the cache by calling `make` with a place beside it, unless it is there. */
export async function cached(name: string, make: (path: string) => Promise<void>): Promise<string> {
  const path = join(CACHE, name);
  if (existsSync(path)) return path;
  mkdirSync(CACHE, { recursive: true });
  const staging = `${path}.${process.pid}.new`;
  try {
    await make(staging);
    renameSync(staging, path);
  } catch (error) {
    rmSync(staging, { recursive: true, force: true });
    throw error;
  }
  return path;
}

export async function guestKernel(): Promise<GuestKernel> {
  const folder = await cached("guest-kernel", async (staging) => {
    mkdirSync(staging);
    const depends = await runOk(["apt-cache", "depends", META_PACKAGE]);
    const name = /linux-image-\S+/.exec(depends.replace(META_PACKAGE, ""))?.[0];
    if (!name) throw new Error(`${META_PACKAGE} depends on no kernel`);
    await runOk(["apt-get", "download", name], { cwd: staging, timeout_ms: 300_000 });
    const file = readdirSync(staging).find((entry) => entry.endsWith(".deb"));
    await runOk(["dpkg-deb", "-x", join(staging, file ?? ""), staging], { timeout_ms: 120_000 });
  });
  const boot = readdirSync(join(folder, "boot")).find((entry) => entry.startsWith("vmlinuz-"));
  if (!boot) throw new Error(`There is no kernel in ${folder}`);
  const all = readdirSync(join(folder, "lib/modules"), { recursive: true, encoding: "utf8" });
  const modules = MODULES.map((name) => {
    const file = all.find((path) => basename(path).startsWith(`${name}.ko`));
    if (!file) throw new Error(`The kernel has no module ${name}`);
    return { name: basename(file), data: readFileSync(join(folder, "lib/modules", file)) };
  });
  return { path: join(folder, "boot", boot), modules };
}
