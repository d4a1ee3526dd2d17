/** The keys of ~/.config/banger/config.toml: type, default and description of each. */
import { formatDuration, parseDuration } from "#base/duration.ts";
import { BangerError } from "#base/error.ts";
import { formatSize, MiB, parseSize } from "#base/size.ts";

/** A key's parser takes TOML's value, or the text of its environment variable. */
interface Key<T> {
  fallback: T;
  about: string;
  parse: (value: unknown) => T;
  /** The value as a person would write it. */
  show: (value: T) => string;
}

function key<T>(
  fallback: T,
  about: string,
  parse: (value: unknown) => T,
  show: (value: T) => string = String,
): Key<T> {
  return { fallback, about, parse, show };
}

export const schema = {
  default_image_name: key("debian-bookworm", "Default image of new machines", text),
  default_kernel: key(
    "debian-6.12",
    "Default kernel, for images without a kernel of their own",
    text,
  ),
  "kernel.catalogs": key<string[]>(
    [],
    "Kernel catalogs: NAME=FILE, or NAME=URL KEY",
    textList,
    JSON.stringify,
  ),
  "kernel.publish_to": key(
    "",
    "Destination of kernel publish: a directory, REMOTE:PATH for rclone, or s3://BUCKET/PREFIX",
    text,
  ),
  "kernel.publish_url": key("", "Public URL of kernel.publish_to", text),
  "kernel.publish_catalog": key("", "Catalog file that kernel publish updates", text),
  "kernel.publish_key": key("", "Secret key to sign that catalog with", text),
  "vm.cpus": key(
    2,
    "Virtual CPUs of a new machine; where it is emulated, 1 unless set",
    integer(1, 64),
  ),
  "vm.memory": key(1024 * MiB, "Memory of a new machine, such as 1G", size, formatSize),
  "vm.disk": key(20 * 1024 * MiB, "Writable layer of a new machine; sparse", size, formatSize),
  "vm.boot_timeout": key(
    600_000,
    "Timeout for a machine to become ready",
    duration,
    formatDuration,
  ),
  "vm.stop_grace": key(
    30_000,
    "Time that stop waits before forcing power-off",
    duration,
    formatDuration,
  ),
  "vm.limits": key(
    "auto",
    "auto, off: enforce memory and CPU limits of machines on the host",
    oneOf("auto", "off"),
  ),
  "vm.templates": key(
    "auto",
    "auto, off: whether new machines are restored from a template in place of their first boot",
    oneOf("auto", "off"),
  ),
  "vm.host_packages": key(
    "auto",
    "auto, off: whether the host downloads the packages that first boots of Debian images install",
    oneOf("auto", "off"),
  ),
  "vm.templates_max": key(
    4096 * MiB,
    "Disk space of all templates; the least recently used are removed",
    size,
    formatSize,
  ),
  "vm.checks": key<string[]>(
    ["opencode=4096"],
    "Services to check in all machines: NAME=PORT; shown if the port is open",
    textList,
    JSON.stringify,
  ),
  "network.mode": key(
    "auto",
    "nat, host, user, none; auto: nat if permitted, else user",
    oneOf("auto", "nat", "host", "user", "none"),
  ),
  "network.bridge": key("banger0", "Name of the bridge for machines", text),
  "network.subnet": key("10.241.0.0/16", "IPv4 subnet of machines", text),
  "network.subnet6": key(
    "auto",
    "IPv6 subnet of machines, a /64; auto: a generated private subnet; off",
    text,
  ),
  vmm: key("auto", "auto, firecracker, qemu", oneOf("auto", "firecracker", "qemu")),
  qemu_bin: key("qemu-system-x86_64", "QEMU binary, a name on PATH or a path", text),
  qemu_jail: key(
    "on",
    "on, off: run QEMU as a user of its own, without access to the host's files, where the host can",
    oneOf("on", "off"),
  ),
  firecracker_bin: key("firecracker", "Firecracker binary, a name on PATH or a path", text),
  firecracker_jailer: key(
    "jailer",
    "Firecracker's jailer, used as root, a name on PATH or a path; off: do not use it",
    text,
  ),
  firecracker_console: key(
    "on",
    "on, off: serial console on Firecracker, for vm logs and kernel panics",
    oneOf("on", "off"),
  ),
  "build.private_hosts": key<string[]>(
    [],
    "Servers in private networks that ADD may fetch from, host[:port]",
    textList,
    JSON.stringify,
  ),
  "registry.insecure": key<string[]>(
    [],
    "Registries to use without TLS, host[:port]",
    textList,
    JSON.stringify,
  ),
  "registry.mirrors": key<string[]>(
    [],
    "Mirrors of docker.io: MIRROR; of another registry: REGISTRY=MIRROR",
    textList,
    JSON.stringify,
  ),
  "serve.listen": key("", "Address to serve the API at, such as 127.0.0.1:7777", text),
  "serve.tls_cert": key("", "TLS certificate chain of the API, a PEM file", text),
  "serve.tls_key": key("", "Private key of that certificate, a PEM file", text),
  "serve.hosts": key<string[]>(
    [],
    "More host names that clients use for the API",
    textList,
    JSON.stringify,
  ),
  "log.level": key(
    "info",
    "debug, info, warning, error",
    oneOf("debug", "info", "warning", "error"),
  ),
};

export type ConfigKey = keyof typeof schema;
export type ConfigValues = { [K in ConfigKey]: (typeof schema)[K]["fallback"] };

/** A key's value as a person would write it. */
export function showValue<K extends ConfigKey>(key: K, value: ConfigValues[K]): string {
  const { show } = schema[key] as unknown as Key<ConfigValues[K]>;
  return show(value);
}

function text(value: unknown): string {
  if (typeof value === "string" && value !== "" && value.length <= 4096) return value;
  throw new BangerError("invalid_argument", "must be a string");
}

function textList(value: unknown): string[] {
  if (typeof value === "string") return value.split(",").filter((part) => part !== "");
  if (Array.isArray(value) && value.every((part) => typeof part === "string")) return value;
  throw new BangerError("invalid_argument", 'must be a list of strings, such as ["a", "b"]');
}

function oneOf<const T extends string>(...choices: T[]): (value: unknown) => T {
  return (value) => {
    const choice = choices.find((each) => each === value);
    if (choice !== undefined) return choice;
    throw new BangerError("invalid_argument", `must be one of ${choices.join(", ")}`);
  };
}

function integer(min: number, max: number): (value: unknown) => number {
  return (value) => {
    const number = typeof value === "string" ? Number(value) : value;
    if (typeof number === "number" && Number.isInteger(number) && number >= min && number <= max) {
      return number;
    }
    throw new BangerError("invalid_argument", `must be a whole number from ${min} to ${max}`);
  };
}

function size(value: unknown): number {
  return parseSize(typeof value === "number" ? String(value) : text(value));
}

function duration(value: unknown): number {
  return parseDuration(typeof value === "number" ? String(value) : text(value));
}
