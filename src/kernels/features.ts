/** The features of a kernel, derived from its build configuration. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { MiB } from "#base/size.ts";
import type { Feature } from "./manifest.ts";

export const MAX_CONFIG_BYTES = 4 * MiB;

/** A feature needs all of its options; if one is a module, the feature is one. */
const options: Record<string, readonly string[]> = {
  "9p": ["9P_FS", "NET_9P_VIRTIO"],
  acpi: ["ACPI"],
  autofs: ["AUTOFS_FS"],
  balloon: ["VIRTIO_BALLOON"],
  bpf: ["BPF_SYSCALL", "CGROUP_BPF"],
  bridge: ["BRIDGE"],
  btrfs: ["BTRFS_FS"],
  cgroups: ["CGROUPS", "MEMCG", "CGROUP_PIDS", "CPUSETS"],
  containers: [
    "OVERLAY_FS",
    "VETH",
    "BRIDGE",
    "NF_TABLES",
    "CGROUPS",
    "NET_NS",
    "PID_NS",
    "IPC_NS",
  ],
  erofs: ["EROFS_FS"],
  ext4: ["EXT4_FS"],
  fuse: ["FUSE_FS"],
  "ip-pnp": ["IP_PNP"],
  iptables: ["IP_NF_IPTABLES"],
  "iptables-nft": ["NF_TABLES", "NFT_COMPAT", "NETFILTER_XTABLES"],
  ipvs: ["IP_VS"],
  ipv6: ["IPV6"],
  kvm: ["KVM"],
  "kvm-host": ["KVM", "KVM_AMD", "KVM_INTEL"],
  landlock: ["SECURITY_LANDLOCK"],
  loop: ["BLK_DEV_LOOP"],
  "module-decompress": ["MODULE_DECOMPRESS"],
  nftables: ["NF_TABLES"],
  overlay: ["OVERLAY_FS"],
  psi: ["PSI"],
  pvh: ["PVH"],
  rng: ["HW_RANDOM_VIRTIO"],
  seccomp: ["SECCOMP_FILTER"],
  serial: ["SERIAL_8250_CONSOLE"],
  squashfs: ["SQUASHFS"],
  tun: ["TUN"],
  "user-namespaces": ["USER_NS"],
  verity: ["DM_VERITY"],
  veth: ["VETH"],
  "virtio-blk": ["VIRTIO_BLK"],
  "virtio-console": ["VIRTIO_CONSOLE"],
  "virtio-mmio": ["VIRTIO_MMIO"],
  "virtio-net": ["VIRTIO_NET"],
  "virtio-pci": ["VIRTIO_PCI"],
  virtiofs: ["VIRTIO_FS"],
  vsock: ["VIRTIO_VSOCKETS"],
  wireguard: ["WIREGUARD"],
  xfs: ["XFS_FS"],
};

/** All features, by name. */
export function featureNames(): string[] {
  return Object.keys(options);
}

/** The features of a `.config`, sorted by name. */
export function featuresOf(config: string): Feature[] {
  const values = parseConfig(config);
  return Object.entries(options).flatMap(([name, wanted]) => {
    const found = wanted.map((option) => values.get(option));
    if (found.some((value) => value !== "y" && value !== "m")) return [];
    return [{ name, kind: found.includes("m") ? ("module" as const) : ("built-in" as const) }];
  });
}

/** Maps options, without "CONFIG_", to their values. */
export function parseConfig(text: string): Map<string, string> {
  const lines = text.matchAll(/^CONFIG_([A-Za-z0-9_]+)=(.*)$/gm);
  return new Map(Array.from(lines, ([, option = "", value = ""]) => [option, value]));
}

/** Writes it to a bundle, unless it is empty (unknown). */
export function writeConfig(config: string, bundle: string): void {
  if (config !== "") writeFileSync(join(bundle, "config"), config);
}

/** The configuration embedded in a kernel with IKCONFIG; undefined for others. */
export function embeddedConfig(elf: Uint8Array): string | undefined {
  const mark = Buffer.from(elf.buffer, elf.byteOffset, elf.length).indexOf("IKCFG_ST");
  if (mark < 0) return undefined;
  const data = elf.subarray(mark + "IKCFG_ST".length, mark + MAX_CONFIG_BYTES);
  const end = Buffer.from(data.buffer, data.byteOffset, data.length).indexOf("IKCFG_ED");
  if (end < 0) return undefined;
  try {
    return gunzipSync(data.subarray(0, end), { maxOutputLength: MAX_CONFIG_BYTES }).toString();
  } catch {
    return undefined;
  }
}
