/** Selects a kernel's modules for a bundle and copies them. */
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { throwIfAborted } from "#base/abort.ts";
import type { OnProgress } from "#base/progress.ts";
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

/**
 * Modules that programs in a machine may need, as paths below kernel/: of drivers only those for virtual devices, since
 * a machine has no other hardware.
 */
const COMMON_MODULES: readonly RegExp[] = [
  /^(?!drivers\/|sound\/)/,
  /^drivers\/(block|cdrom|connector|dax|md|nvdimm|nvme|target|vdpa|vhost|virtio)\//,
  /^drivers\/(char\/hw_random\/virtio|char\/virtio|char\/nvram|hid\/uhid|input\/(evdev|misc\/uinput)|misc\/(eeprom\/)?vmw_vmci)/,
  /^drivers\/net\/(bonding|ipvlan|macsec|netdevsim|ovpn|ppp|slip|team|wireguard)\b/,
  /^drivers\/net\/can\/(dev|slcan|vcan|vxcan)\b/,
  /^drivers\/net\/(amt|bareudp|dummy|eql|geneve|gtp|ifb|macvlan|macvtap|net_failover|netconsole|nlmon|pfcp|tap|tun|veth|virtio_net|vrf|vsockmon|vxlan)\b/,
  /^drivers\/scsi\/(iscsi|libiscsi|scsi_(common|debug|mod|transport_iscsi)|sd_mod|sg|sr_mod|virtio_scsi)/,
  /^drivers\/usb\/(gadget\/udc\/dummy_hcd|usbip\/)/,
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

/** Copies the common modules (with `all`, every module) to `bundle`/modules/`release`. Returns their number. */
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
    if (chosen.length > 0 && existsSync(from)) copyFileSync(from, join(target, file));
  }
  return chosen.length;
}
