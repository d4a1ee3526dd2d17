/**
 * The boot record: what the host decides about a machine, read by PID 1 out of the initrd as
 * `/banger/boot`. It is a list of fields (fields.ts), so that PID 1 needs no other parser; tags are
 * never reused, and an agent skips those that it does not know.
 */
import { assert } from "#base/assert.ts";
import { BangerError } from "#base/error.ts";
import { Fields, FieldWriter } from "./fields.ts";
import { BootTag, MAX_BOOT_RECORD_BYTES, MAX_LOWERS } from "./protocol.ts";

const MAX_ENTROPY_BYTES = 512;

export type BootMode = "direct" | "systemd";

export interface BootNetwork {
  /** The interface is found by it: "52:54:00:…". */
  mac: string;
  /** With its prefix: "10.0.2.15/24". */
  address: string;
  gateway?: string | undefined;
  address6?: string | undefined;
  gateway6?: string | undefined;
  /** Addresses for /etc/resolv.conf; none leaves the image's file. */
  dns: readonly string[];
  mtu?: number | undefined;
  /** A program of this computer answers for the network, which older versions of it do badly. */
  isUserNetwork?: boolean | undefined;
}

export interface BootRecord {
  /** `direct`: the agent stays PID 1; `systemd`: the first-boot script, and then systemd, takes over. */
  mode: BootMode;
  hostname: string;
  /**
   * `overlay`: /dev/vda read-only below, then `lowers` further read-only disks, each above the one
   * before (default 0), and the next disk, writable, on top; `plain`: /dev/vda, writable. All are ext4.
   */
  rootfs: { kind: "overlay"; lowers?: number | undefined } | { kind: "plain" };
  network?: BootNetwork | undefined;
  searchDomain?: string | undefined;
  /** Lines of /etc/hosts beside the machine's own. */
  hosts?: readonly { address: string; name: string }[] | undefined;
  /** Lines for root's authorized_keys; those that are there stay. */
  authorizedKeys: readonly string[];
  /** An ed25519 key in OpenSSH's own format. */
  sshHostKey?: string | undefined;
  /** 32 lower-case hex digits. */
  machineId: string;
  /** Paths within the initrd, in the order of loading. */
  modules: readonly string[];
  /** The disk after the writable one has the kernel's modules, as in /lib/modules/RELEASE. */
  hasModulesDisk?: boolean | undefined;
  /** Of every command that is run through the agent. */
  env: Readonly<Record<string, string>>;
  /** The machine is one of an image build: nothing is mounted in it but the kernel's file systems. */
  isBuild?: boolean | undefined;
  /** The machine becomes a template. Its interface keeps this hardware address, and stays down. */
  template?: { mac: string } | undefined;
  /** Of the writable disk, where it is larger than that of the template. */
  disk_bytes?: number | undefined;
  time_unix_ns: bigint;
  /** Random bytes, at most 512, that the guest counts as full entropy. */
  entropySeed: Uint8Array;
}

export function encodeBootRecord(record: BootRecord): Uint8Array {
  assert(/^[0-9a-f]{32}$/.test(record.machineId), "a machine-id has 32 hex digits");
  assert(record.entropySeed.length <= MAX_ENTROPY_BYTES, "the seed is short");
  const writer = new FieldWriter()
    .text(BootTag.mode, record.mode)
    .text(BootTag.hostname, line(record.hostname))
    .text(BootTag.rootfs, record.rootfs.kind)
    .text(BootTag.machineId, record.machineId)
    .number(BootTag.time_unix_ns, record.time_unix_ns)
    .bytes(BootTag.entropySeed, record.entropySeed);
  for (const module of record.modules) writer.text(BootTag.module, line(module));
  for (const [name, value] of Object.entries(record.env)) {
    writer.text(BootTag.env, withoutNul(`${name}=${value}`));
  }
  for (const key of record.authorizedKeys) writer.text(BootTag.authorizedKey, line(key));
  if (record.sshHostKey) writer.text(BootTag.sshHostKey, withoutNul(record.sshHostKey));
  for (const { address, name } of record.hosts ?? []) {
    writer.text(BootTag.hostEntry, line(`${address} ${name}`));
  }
  if (record.searchDomain) writer.text(BootTag.searchDomain, line(record.searchDomain));
  if (record.template) writer.text(BootTag.template, line(record.template.mac));
  if (record.isBuild) writer.number(BootTag.build, 1);
  if (record.disk_bytes) writer.number(BootTag.disk_bytes, record.disk_bytes);
  if (record.hasModulesDisk) writer.number(BootTag.modulesDisk, 1);
  if (record.network) encodeNetwork(writer, record.network);
  encodeLowers(writer, record.rootfs);
  const bytes = writer.finish();
  if (bytes.length > MAX_BOOT_RECORD_BYTES) {
    throw new BangerError(
      "limit_exceeded",
      "Cannot start the machine: the boot record is too long",
      {
        hint: `Environment variables and keys are limited to ${MAX_BOOT_RECORD_BYTES} bytes in total`,
      },
    );
  }
  return bytes;
}

export function decodeBootRecord(bytes: Uint8Array): BootRecord {
  const fields = Fields.parse(bytes);
  const mac = fields.text(BootTag.mac);
  const sshHostKey = fields.text(BootTag.sshHostKey);
  const searchDomain = fields.text(BootTag.searchDomain);
  const template = fields.text(BootTag.template);
  const hosts = fields.texts(BootTag.hostEntry).map(splitAtFirst(" "));
  return {
    mode: fields.text(BootTag.mode) === "systemd" ? "systemd" : "direct",
    hostname: fields.text(BootTag.hostname) ?? "",
    rootfs: decodeRootfs(fields),
    machineId: fields.text(BootTag.machineId) ?? "",
    modules: fields.texts(BootTag.module),
    env: Object.fromEntries(fields.texts(BootTag.env).map(splitAtFirst("="))),
    authorizedKeys: fields.texts(BootTag.authorizedKey),
    time_unix_ns: fields.big(BootTag.time_unix_ns) ?? 0n,
    entropySeed: fields.bytes(BootTag.entropySeed) ?? new Uint8Array(0),
    sshHostKey,
    searchDomain,
    ...(template ? { template: { mac: template } } : {}),
    ...(hosts.length > 0 ? { hosts: hosts.map(([address, name]) => ({ address, name })) } : {}),
    ...(fields.number(BootTag.build) ? { isBuild: true } : {}),
    ...(fields.number(BootTag.modulesDisk) ? { hasModulesDisk: true } : {}),
    network: mac ? decodeNetwork(fields, mac) : undefined,
    disk_bytes: fields.number(BootTag.disk_bytes),
  };
}

function encodeLowers(writer: FieldWriter, rootfs: BootRecord["rootfs"]): void {
  if (rootfs.kind !== "overlay" || !rootfs.lowers) return;
  assert(rootfs.lowers <= MAX_LOWERS, "there are few layers");
  writer.number(BootTag.lowers, rootfs.lowers);
}

function decodeRootfs(fields: Fields): BootRecord["rootfs"] {
  if (fields.text(BootTag.rootfs) !== "overlay") return { kind: "plain" };
  const lowers = fields.number(BootTag.lowers);
  return lowers ? { kind: "overlay", lowers } : { kind: "overlay" };
}

function encodeNetwork(writer: FieldWriter, network: BootNetwork): void {
  writer.text(BootTag.mac, line(network.mac)).text(BootTag.address, line(network.address));
  if (network.gateway) writer.text(BootTag.gateway, line(network.gateway));
  if (network.address6) writer.text(BootTag.address6, line(network.address6));
  if (network.gateway6) writer.text(BootTag.gateway6, line(network.gateway6));
  for (const address of network.dns) writer.text(BootTag.dns, line(address));
  if (network.mtu) writer.number(BootTag.mtu, network.mtu);
  if (network.isUserNetwork) writer.number(BootTag.isUserNetwork, 1);
}

function decodeNetwork(fields: Fields, mac: string): BootNetwork {
  const gateway = fields.text(BootTag.gateway);
  const mtu = fields.number(BootTag.mtu);
  const address6 = fields.text(BootTag.address6);
  const gateway6 = fields.text(BootTag.gateway6);
  return {
    mac,
    address: fields.text(BootTag.address) ?? "",
    dns: fields.texts(BootTag.dns),
    gateway,
    address6,
    gateway6,
    mtu,
    ...(fields.number(BootTag.isUserNetwork) ? { isUserNetwork: true } : {}),
  };
}

function splitAtFirst(mark: string): (text: string) => [string, string] {
  return (text) => {
    const at = text.indexOf(mark);
    return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
  };
}

/** A value that becomes one line of a file in the guest may not bring another. */
function line(text: string): string {
  if (!/[\n\r\0]/.test(text)) return text;
  throw new BangerError(
    "invalid_argument",
    `Cannot start the machine: "${text.slice(0, 60)}" has more than one line`,
  );
}

function withoutNul(text: string): string {
  if (!text.includes("\0")) return text;
  throw new BangerError(
    "invalid_argument",
    "Cannot start the machine: a value contains a NUL byte",
  );
}
