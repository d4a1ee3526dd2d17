/**
 * Filters the tar of a newly provisioned machine's writable layer into a layer for other machines: the machine's own
 * identity, logs and state are left out.
 */
import { BangerError } from "#base/error.ts";
import { hasDots } from "#images/rootfs/path.ts";
import { parseWhiteout } from "#oci/whiteout.ts";
import { shown, type TarEntry } from "#tar/entry.ts";
import type { TarHandler } from "#tar/reader.ts";

const SLASH = 0x2f;

/** Files that identify the machine or are rewritten at every boot. */
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
/** Directories that are kept empty. */
const EMPTIED = ["dev/", "proc/", "run/", "sys/", "tmp/", "var/tmp/", "var/lib/banger/"];
const LOGS = "var/log/";
const HOST_KEYS = "etc/ssh/ssh_host_";
const AUTHORIZED_KEYS = ".ssh/authorized_keys";

const OVERLAY = "trusted.overlay.";
const OPAQUE = "trusted.overlay.opaque";
/** Extended attributes of overlayfs that a read-only layer does not need. */
const NOTES = new Set(
  ["origin", "impure", "nlink", "uuid", "protattr"].map((name) => OVERLAY + name),
);

/** Drops entries that belong to one machine. Whiteouts (devices 0:0, opaque directories) stay as they are. */
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
    // A symbolic link does not identify the machine.
    return type !== "directory" && type !== "symlink";
  }
  if (EMPTIED.some((folder) => path.startsWith(folder) && path !== folder)) return true;
  return path.startsWith(LOGS) && type === "file";
}

/** In an image layer this name is a whiteout. */
function assertNoMark({ name }: TarEntry): void {
  if (hasDots(name)) throw new BangerError("integrity", `path ${shown(name)} contains ".."`);
  const last = name.subarray(name.lastIndexOf(SLASH) + 1);
  if (parseWhiteout(last).kind === "none") return;
  throw new BangerError("unsupported", `reserved file name ${shown(name)}`);
}

/** `unsupported` for an overlayfs attribute, such as a redirect, that depends on the layer below. */
function layerXattrs(entry: TarEntry): TarEntry["xattrs"] {
  return entry.xattrs.filter((attribute) => {
    const name = Buffer.from(attribute.name).toString("latin1");
    if (!name.startsWith(OVERLAY)) return true;
    if (NOTES.has(name)) return false;
    if (name === OPAQUE && Buffer.from(attribute.value).toString("latin1") === "y") return true;
    throw new BangerError("unsupported", `unsupported attribute ${name} on ${shown(entry.name)}`);
  });
}
