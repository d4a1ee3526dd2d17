/**
 * The writable layer of a machine in which programs have just been installed, as its guest archives
 * it, made into a layer for other machines: what belongs to that one machine is left out.
 */
import { BangerError } from "#base/error.ts";
import { hasDots } from "#images/rootfs/path.ts";
import { parseWhiteout } from "#oci/whiteout.ts";
import { shown, type TarEntry } from "#tar/entry.ts";
import type { TarHandler } from "#tar/reader.ts";

const SLASH = 0x2f;

/** Files that say which machine it is, or that every boot writes anew. */
const OWN_FILES = new Set([
  "etc/hostname",
  "etc/hosts",
  "etc/resolv.conf",
  "etc/machine-id",
  "usr/local/libexec/banger-first-boot",
  "var/lib/dbus/machine-id",
  "var/lib/systemd/credential.secret",
  "var/lib/systemd/random-seed",
  "var/lib/zypp/AnonymousUniqueId",
]);
/** Folders of which nothing but the folder itself is kept. */
const EMPTIED = ["dev/", "proc/", "run/", "sys/", "tmp/", "var/tmp/", "var/lib/banger/"];
const LOGS = "var/log/";
const HOST_KEYS = "etc/ssh/ssh_host_";
const AUTHORIZED_KEYS = ".ssh/authorized_keys";

const OVERLAY = "trusted.overlay.";
const OPAQUE = "trusted.overlay.opaque";
/** What the kernel notes for itself about files of a writable layer; a read-only one works without. */
const NOTES = new Set(
  ["origin", "impure", "nlink", "uuid", "protattr"].map((name) => OVERLAY + name),
);

/** Hands on what another machine may have. Whiteouts are devices 0:0 and opaque folders, and stay so. */
export function withoutIdentity(handler: TarHandler): TarHandler {
  let isLeftOut = false;
  return {
    entry(entry) {
      assertNoMark(entry);
      isLeftOut = belongsToMachine(entry);
      if (!isLeftOut) handler.entry({ ...entry, xattrs: layerXattrs(entry) });
    },
    data(bytes, offset) {
      if (!isLeftOut) handler.data(bytes, offset);
    },
    end() {
      if (!isLeftOut) handler.end();
    },
  };
}

function belongsToMachine({ name, type }: TarEntry): boolean {
  const path = Buffer.from(name)
    .toString("latin1")
    .replace(/^(\.?\/)+/, "");
  if (OWN_FILES.has(path) || path.startsWith(HOST_KEYS) || path.endsWith(AUTHORIZED_KEYS)) {
    // A link to where another package keeps it says nothing of this machine.
    return type !== "directory" && type !== "symlink";
  }
  if (EMPTIED.some((folder) => path.startsWith(folder) && path !== folder)) return true;
  return path.startsWith(LOGS) && type === "file";
}

/** In a layer of an image such a name would stand for a file that is gone, or pass for another one here. */
function assertNoMark({ name }: TarEntry): void {
  if (hasDots(name)) throw new BangerError("integrity", `path ${shown(name)} contains ".."`);
  const last = name.subarray(name.lastIndexOf(SLASH) + 1);
  if (parseWhiteout(last).kind === "none") return;
  throw new BangerError("unsupported", `reserved file name ${shown(name)}`);
}

/** `unsupported` where the layer cannot be understood without the one below, as the kernel wrote it. */
function layerXattrs(entry: TarEntry): TarEntry["xattrs"] {
  return entry.xattrs.filter((attribute) => {
    const name = Buffer.from(attribute.name).toString("latin1");
    if (!name.startsWith(OVERLAY)) return true;
    if (NOTES.has(name)) return false;
    if (name === OPAQUE && Buffer.from(attribute.value).toString("latin1") === "y") return true;
    throw new BangerError("unsupported", `unsupported attribute ${name} on ${shown(entry.name)}`);
  });
}
