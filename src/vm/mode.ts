/** The default boot mode: with an init system wherever the image has one, or can get one. */
import type { Image, ImageConfig } from "#api/image.ts";
import type { BootMode } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { KiB } from "#base/size.ts";
import { modes } from "#ext4/format.ts";
import type { FileStat } from "#ext4/read/inode.ts";
import { type Ext4Reader, openExt4 } from "#ext4/read/reader.ts";

const OS_RELEASE_MAX_BYTES = 64 * KiB;

const SYSTEMD = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"];
const INITS = ["/sbin/init", "/usr/sbin/init"];
/** As guest/boot/first-boot.sh knows them: by ID or ID_LIKE of os-release, with what installs. */
const FAMILIES: readonly { names: RegExp; managers: readonly string[] }[] = [
  { names: /^(debian|ubuntu)$/, managers: ["apt-get"] },
  { names: /^alpine$/, managers: ["apk"] },
  {
    names: /^(fedora|rhel|centos|amzn|photon)$/,
    managers: ["dnf5", "dnf", "microdnf", "yum", "tdnf"],
  },
  { names: /^arch$/, managers: ["pacman"] },
  { names: /^(opensuse.*|suse|sles)$/, managers: ["zypper"] },
];
const PROGRAM_FOLDERS = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];

/** `reason`: why it is another mode than one would expect. */
export function modeFor(
  image: Image,
  wanted: BootMode | "auto",
): { mode: BootMode; reason?: string } {
  if (wanted !== "auto") return { mode: wanted };
  if (hasOwnInit(image.config)) {
    return {
      mode: "direct",
      reason: `Using direct mode: "${image.name}" runs its own init, /init`,
    };
  }
  using reader = openExt4(image.rootfs);
  if (canHaveInit(filesIn(reader))) return { mode: "systemd" };
  const reason = `Using direct mode: "${image.name}" has no init system, and no package manager to install one`;
  return { mode: "direct", reason };
}

/** Whether machines with these file systems, the lowest first, boot systemd, which has to be installed in others. */
export function hasSystemd(disks: readonly string[]): boolean {
  return disks.some((path) => {
    using reader = openExt4(path);
    return SYSTEMD.some((program) => isThere(() => reader.stat(program)));
  });
}

/** The package manager that installs an init system in the first boot of an image; undefined where it has one. */
export function installerOf(image: Image): string | undefined {
  using reader = openExt4(image.rootfs);
  const files = filesIn(reader);
  return hasInit(files) ? undefined : managerOf(files);
}

/** s6-overlay, and images made in its likeness: their services are started by the entrypoint. */
export function hasOwnInit({ entrypoint }: ImageConfig): boolean {
  return entrypoint?.[0] === "/init";
}

interface Files {
  /** Also of a symbolic link, wherever that leads. */
  has(path: string): boolean;
  read(path: string): string | undefined;
}

function filesIn(reader: Ext4Reader): Files {
  return {
    has: (path) => isThere(() => reader.stat(path)),
    read: (path) =>
      isFile(() => reader.stat(path))
        ? Buffer.from(reader.readFile(path, OS_RELEASE_MAX_BYTES)).toString()
        : undefined,
  };
}

export function canHaveInit(files: Files): boolean {
  return hasInit(files) || managerOf(files) !== undefined;
}

function hasInit({ has }: Files): boolean {
  // That of busybox is one only where it is told what to do.
  const isIdle = has("/bin/busybox") && !has("/etc/inittab");
  return SYSTEMD.some(has) || (INITS.some(has) && !isIdle);
}

function managerOf({ has, read }: Files): string | undefined {
  const release = read("/etc/os-release") ?? read("/usr/lib/os-release") ?? "";
  const names = ["ID", "ID_LIKE"].flatMap((key) => settingOf(release, key).split(/\s+/));
  const family = names.flatMap((name) => FAMILIES.filter((each) => each.names.test(name)))[0];
  const managers = family?.managers ?? [];
  return managers.find((name) => PROGRAM_FOLDERS.some((folder) => has(`${folder}/${name}`)));
}

function settingOf(text: string, key: string): string {
  const value = new RegExp(`^${key}=(.*)$`, "m").exec(text)?.[1]?.trim() ?? "";
  return value.replace(/^["'](.*)["']$/, "$1");
}

function isThere(look: () => FileStat): boolean {
  return statusOf(look) !== undefined;
}

function isFile(look: () => FileStat): boolean {
  return statusOf(look)?.type === modes.REGULAR;
}

function statusOf(look: () => FileStat): FileStat | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof BangerError && error.code === "not_found") return undefined;
    throw error;
  }
}
