/** Selects a kernel's modules for a bundle and copies them. */
import { copyFileSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { throwIfAborted } from "#base/abort.ts";
import type { OnProgress } from "#base/progress.ts";
import { runOk, which } from "#base/run.ts";
import type { BootModule } from "./manifest.ts";
import { loadOrder, type ModuleTree, readModule } from "./modules.ts";

/** Modules that a machine needs to start: disks, network, the agent's port, the root file system. */
const BOOT_MODULES = [
  "virtio_mmio",
  "virtio_blk",
  "virtio_net",
  "virtio_console",
  "ext4",
  "overlay",
];
const VSOCK_MODULES = ["vmw_vsock_virtio_transport"];

/** Modules that programs in a machine commonly need, as paths below kernel/. */
const COMMON_MODULES: readonly RegExp[] = [
  /^fs\/(9p|autofs|binfmt_misc|btrfs|configfs|erofs|exfat|fat|fuse|isofs|netfs|overlayfs|squashfs|xfs)\b/,
  /^fs\/(nfs|nfs_common|lockd|nls)\//,
  /^net\/(8021q|9p|bridge|dns_resolver|ipv4|ipv6|llc|netfilter|netlink|packet|sched|sunrpc|tls|unix|vmw_vsock|xdp|xfrm)\//,
  /^drivers\/net\/(bonding|ipvlan|team|wireguard)\//,
  /^drivers\/net\/(bareudp|dummy|geneve|ifb|macsec|macvlan|macvtap|nlmon|tap|tun|veth|virtio_net|vrf|vxlan|wireguard)\.ko/,
  /^drivers\/block\/(brd|loop|nbd|null_blk|virtio_blk|zram)\b/,
  /^drivers\/md\/(dm-(crypt|integrity|log|mirror|mod|multipath|raid|snapshot|thin-pool|verity|zero)|raid\d+|md-mod)\b/,
  /^drivers\/(virtio|char\/hw_random)\/virtio/,
  /^drivers\/vhost\//,
  /^(crypto|lib)\//,
  /^arch\/x86\/(crypto|kvm)\//,
];

export interface ModuleWork {
  signal?: AbortSignal | undefined;
}

/**
 * Copies the boot modules, uncompressed, to `bundle`/boot/, so that the guest needs no decompressor. Returns them in
 * load order.
 */
export async function copyBootModules(
  tree: ModuleTree,
  bundle: string,
  work: ModuleWork = {},
): Promise<BootModule[]> {
  const always = await loadOrder(tree, BOOT_MODULES, work);
  const all = await loadOrder(tree, [...always, ...VSOCK_MODULES], work);
  const kept: BootModule[] = [];
  for (const name of all) {
    const path = join(tree.root, tree.files.get(name) ?? "");
    const file = `boot/${name}.ko`;
    mkdirSync(join(bundle, "boot"), { recursive: true });
    writeFileSync(join(bundle, file), await readModule(path, work.signal));
    kept.push({ name, file, only: always.includes(name) ? undefined : "vsock" });
  }
  return kept;
}

/**
 * Copies the common modules (with `all`, every module) to `bundle`/modules/`release`, with modprobe's files if the
 * host has depmod. Returns their number.
 */
export async function copyCommonModules(
  tree: ModuleTree,
  bundle: string,
  options: ModuleWork & { release: string; all?: boolean; onProgress?: OnProgress | undefined },
): Promise<number> {
  const paths = [...tree.files.values()];
  const isCommon = (path: string): boolean =>
    COMMON_MODULES.some((pattern) => pattern.test(path.slice("kernel/".length)));
  const names = [...tree.files.keys()];
  const chosen = options.all
    ? names
    : await loadOrder(
        tree,
        names.filter((_, index) => isCommon(paths[index] ?? "")),
        options,
      );
  const { release, onProgress } = options;
  const target = join(bundle, "modules", release);
  const message = `Copying modules for ${release}`;
  for (const [index, name] of chosen.entries()) {
    throwIfAborted(options.signal);
    const path = tree.files.get(name) ?? "";
    mkdirSync(dirname(join(target, path)), { recursive: true });
    await copyFile(join(tree.root, path), join(target, path));
    const [done, total] = [index + 1, chosen.length];
    onProgress?.({ step: "modules", message, done, total, unit: "items" });
  }
  for (const file of ["modules.builtin", "modules.builtin.modinfo", "modules.order"]) {
    const from = join(tree.root, file);
    if (existsSync(from)) copyFileSync(from, join(target, file));
  }
  if (!existsSync(target)) return chosen.length;
  onProgress?.({ step: "depmod", message: `Resolving module dependencies of ${release}` });
  await depmod(bundle, options);
  return chosen.length;
}

/** depmod needs a lib/modules directory, which is a symbolic link to the bundle's. */
async function depmod(bundle: string, options: ModuleWork & { release: string }): Promise<void> {
  if (!which("depmod")) return;
  const base = join(bundle, ".depmod");
  mkdirSync(join(base, "lib"), { recursive: true });
  try {
    symlinkSync("../../modules", join(base, "lib", "modules"));
    await runOk(["depmod", "-b", base, options.release], { signal: options.signal });
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
}
