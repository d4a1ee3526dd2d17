/**
 * What dpkg knows in an image, as far as it decides how packages are unpacked there. `unsupported` for everything that
 * only the image's own dpkg can do.
 * Source: dpkg(1), deb-triggers(5), apt.conf(5).
 */
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { modes } from "#ext4/format.ts";
import { followLinks } from "#ext4/read/links.ts";
import type { Ext4Reader } from "#ext4/read/reader.ts";

/** Where dpkg keeps its database. */
export const ADMIN = "/var/lib/dpkg";
const FILE_MAX_BYTES = 64 * MiB;
const FILES_MAX = 256;
/** Options of dpkg that change nothing about new files, by the start of their line. */
const PLAIN_OPTIONS = /^\s*(#|$|no-debsig\b|log\b|force-unsafe-io\b|force-conf(old|def)\b)/;
/** Debian's own hook before packages are unpacked. It does nothing without apt-utils. */
const PRECONFIGURE =
  /^\s*DPkg::Pre-Install-Pkgs\s*\{"\/usr\/sbin\/dpkg-preconfigure --apt \|\| true";\};$/;
/** Of dpkg before 2011, with other names of files. */
const FORMAT = "1";

export interface DpkgState {
  status: string;
  /** Version of dpkg itself. */
  version: string;
  native: string;
  /** Lines of triggers/File, and of the file of a trigger by its name. */
  fileTriggers: string;
  trigger(name: string): string;
  /** Paths with a diversion or an owner and mode of the administrator's. */
  overridden: ReadonlySet<string>;
  /** apt's list of automatically installed packages. */
  extendedStates: string;
}

export function readDpkgState(reader: Ext4Reader): DpkgState {
  const read = (path: string): string => textOf(reader, path);
  const status = read(`${ADMIN}/status`);
  if (read(`${ADMIN}/info/format`).trim() !== FORMAT)
    throw unsupported("format of dpkg's database");
  const stanza = stanzasOf(status).find((each) => /^Package: dpkg$/m.test(each)) ?? "";
  const version = fieldOf(stanza, "Version");
  const native = fieldOf(stanza, "Architecture");
  if (!version || !native) throw unsupported("no dpkg");
  if (namesIn(reader, `${ADMIN}/updates`).length > 0 || read(`${ADMIN}/triggers/Unincorp`) !== "") {
    throw unsupported("unfinished work of dpkg");
  }
  if (
    /^Status: (?!install ok installed$|deinstall ok config-files$|hold ok installed$)/m.test(status)
  ) {
    throw unsupported("packages that are not fully installed");
  }
  checkOptions(reader, status);
  const lines = (path: string): string[] => read(path).split("\n").filter(Boolean);
  const overridden = new Set([
    ...lines(`${ADMIN}/diversions`),
    ...lines(`${ADMIN}/statoverride`).map((line) => line.split(" ").slice(3).join(" ")),
  ]);
  return {
    status,
    version,
    native,
    fileTriggers: read(`${ADMIN}/triggers/File`),
    trigger: (name) => read(`${ADMIN}/triggers/${name}`),
    overridden,
    extendedStates: read("/var/lib/apt/extended_states"),
  };
}

/** Options of dpkg that leave out files, and hooks of apt that shall see the packages. */
function checkOptions(reader: Ext4Reader, status: string): void {
  const options = [
    "/root/.dpkg.cfg",
    "/etc/dpkg/dpkg.cfg",
    ...filesIn(reader, "/etc/dpkg/dpkg.cfg.d"),
  ];
  for (const line of options.flatMap((path) => textOf(reader, path).split("\n"))) {
    if (!PLAIN_OPTIONS.test(line)) throw unsupported(`option of dpkg "${line}"`);
  }
  const configuration = ["/etc/apt/apt.conf", ...filesIn(reader, "/etc/apt/apt.conf.d")];
  const hasUtils = /^Package: apt-utils\n(?:.+\n)*?Status: \S+ ok installed$/m.test(status);
  for (const line of configuration.flatMap((path) => textOf(reader, path).split("\n"))) {
    const isHook = /pre-install-pkgs|dpkg::(options|tools|chroot)|dir::|rootdir/i.test(line);
    if (isHook && (hasUtils || !PRECONFIGURE.test(line)) && !/^\s*(\/\/|#)/.test(line)) {
      throw unsupported("hooks of apt");
    }
  }
}

export function stanzasOf(text: string): string[] {
  return text.split(/\n\n+/).filter((each) => each.trim() !== "");
}

/** The first line of a field. */
export function fieldOf(stanza: string, name: string): string | undefined {
  return new RegExp(`^${name}:[ \\t]*(\\S.*?)[ \\t]*$`, "im").exec(stanza)?.[1];
}

function filesIn(reader: Ext4Reader, folder: string): string[] {
  return namesIn(reader, folder).map((name) => `${folder}/${name}`);
}

function namesIn(reader: Ext4Reader, folder: string): string[] {
  const found = followLinks(reader, folder);
  if (found?.file.type !== modes.DIRECTORY) return [];
  const names = reader.list(found.path).map(({ name }) => Buffer.from(name).toString("latin1"));
  if (names.length > FILES_MAX) throw unsupported(`more than ${FILES_MAX} files in ${folder}`);
  return names;
}

/** Bytes as characters; empty if there is no such file. */
function textOf(reader: Ext4Reader, path: string): string {
  const found = followLinks(reader, path);
  if (found?.file.type !== modes.REGULAR) return "";
  return Buffer.from(reader.readFile(found.path, FILE_MAX_BYTES)).toString("latin1");
}

export function unsupported(why: string): BangerError {
  return new BangerError("unsupported", `only the machine's dpkg can unpack here: ${why}`);
}
