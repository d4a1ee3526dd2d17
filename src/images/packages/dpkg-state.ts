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

/** Of dpkg's list of installed packages: one of 5,000 packages has 6 MiB. */
export const STATUS_MAX_BYTES = 16 * MiB;
/** Where dpkg keeps its database. */
export const ADMIN = "/var/lib/dpkg";
/** Of the lists of packages, and of all other files together; many paths may lead to one file. */
const LISTS_MAX_BYTES = 2 * STATUS_MAX_BYTES;
const FILES_MAX_BYTES = 2 * MiB;
const FILES_MAX = 256;
const STANZAS_MAX = 100_000;
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
  const readList = textReader(reader, LISTS_MAX_BYTES);
  const read = textReader(reader, FILES_MAX_BYTES);
  const status = readList(`${ADMIN}/status`);
  if (read(`${ADMIN}/info/format`).trim() !== FORMAT)
    throw unsupported("format of dpkg's database");
  const stanza = installedStanza(status, "dpkg") ?? "";
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
  checkOptions(reader, { read, status });
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
    extendedStates: readList("/var/lib/apt/extended_states"),
  };
}

/** Options of dpkg that leave out files, and hooks of apt that shall see the packages. */
function checkOptions(
  reader: Ext4Reader,
  { read, status }: { read: (path: string) => string; status: string },
): void {
  const options = [
    "/root/.dpkg.cfg",
    "/etc/dpkg/dpkg.cfg",
    ...filesIn(reader, "/etc/dpkg/dpkg.cfg.d"),
  ];
  for (const line of options.flatMap((path) => read(path).split("\n"))) {
    if (!PLAIN_OPTIONS.test(line)) throw unsupported(`option of dpkg "${line}"`);
  }
  const configuration = ["/etc/apt/apt.conf", ...filesIn(reader, "/etc/apt/apt.conf.d")];
  const utils = installedStanza(status, "apt-utils") ?? "";
  const hasUtils = /^Status: \S+ ok installed$/m.test(utils);
  for (const line of configuration.flatMap((path) => read(path).split("\n"))) {
    const isHook = /pre-install-pkgs|dpkg::(options|tools|chroot)|dir::|rootdir/i.test(line);
    if (isHook && (hasUtils || !PRECONFIGURE.test(line)) && !/^\s*(\/\/|#)/.test(line)) {
      throw unsupported("hooks of apt");
    }
  }
}

export function stanzasOf(text: string): string[] {
  const stanzas = text.split(/\n\n+/, STANZAS_MAX + 1).filter((each) => each.trim() !== "");
  if (stanzas.length > STANZAS_MAX) throw unsupported(`more than ${STANZAS_MAX} packages`);
  return stanzas;
}

/** What dpkg's list of packages says of one. */
export function installedStanza(status: string, name: string): string | undefined {
  return stanzasOf(status).find((stanza) => fieldOf(stanza, "Package") === name);
}

/** The first line of a field. */
export function fieldOf(stanza: string, name: string): string | undefined {
  // Takes a line in one go: what a pattern tries again and again is long enough in hostile text.
  return new RegExp(`^${name}:[ \\t]*(.*)$`, "im").exec(stanza)?.[1]?.trimEnd() || undefined;
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

/** Gives bytes as characters; empty if there is no such file. */
function textReader(reader: Ext4Reader, max_bytes: number): (path: string) => string {
  let left_bytes = max_bytes;
  return (path) => {
    const found = followLinks(reader, path);
    if (found?.file.type !== modes.REGULAR) return "";
    const bytes = reader.readFile(found.path, left_bytes);
    left_bytes -= bytes.length;
    return Buffer.from(bytes).toString("latin1");
  };
}

export function unsupported(why: string): BangerError {
  return new BangerError("unsupported", `only the machine's dpkg can unpack here: ${why}`);
}
