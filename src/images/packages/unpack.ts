/**
 * What `dpkg --unpack` makes of packages in an image, as an archive of new files: those of the packages, and dpkg's
 * database with the packages in it as unpacked. The machine extracts it in one go and has its own dpkg configure them.
 * Only for new packages that touch nothing of the image, in an image whose dpkg would do nothing else.
 * Source: dpkg(1), deb-conffiles(5), deb-triggers(5), and what dpkg leaves.
 */
import { posix } from "node:path";
import { throwIfAborted } from "#base/abort.ts";
import { MiB } from "#base/size.ts";
import { type Ext4Reader, openExt4 } from "#ext4/read/reader.ts";
import type { TarEntry } from "#tar/entry.ts";
import { TAR_END, tarHeader, tarPadding, tarTime, type WrittenEntry } from "#tar/write.ts";
import type { InstallOrder } from "./apt.ts";
import {
  ADMIN,
  type DpkgState,
  fieldOf,
  readDpkgState,
  stanzasOf,
  unsupported,
} from "./dpkg-state.ts";
import { type ControlFile, controlFiles, readArchive } from "./plain-deb.ts";
import { ImageTree } from "./tree.ts";
import { activationsOf, interestsOf } from "./triggers.ts";

const ENTRIES_MAX = 200_000;
/** Of all packages together: they are kept in memory. */
const CONTROL_MAX_BYTES = 64 * MiB;
/** Larger numbers belong to users that a package of the image may have made, and have another number elsewhere. */
const FIXED_ID_MAX = 99;
const SCRIPTS = "preinst";
const EXTENDED_STATES = "/var/lib/apt/extended_states";

export interface PlainDeb {
  /** As deb.ts has written it. */
  path: string;
  stanza: string;
}

export interface UnpackedPackages {
  count: number;
  size_bytes: number;
  /** The scripts that run before the tree is there, and what guest/boot/first-boot.sh reads. */
  scripts(): AsyncGenerator<Uint8Array>;
  /** New files below "/". */
  tree(): AsyncGenerator<Uint8Array>;
}

interface Package {
  deb: string;
  stanza: string;
  name: string;
  architecture: string;
  /** As files of dpkg's database and arguments of dpkg have it. */
  fullName: string;
  control: ControlFile[];
  conffiles: ReadonlySet<string>;
  /** For each entry of its data, what is written for it. */
  entries: (WrittenEntry | undefined)[];
  /** All its paths, as its list of files has them. */
  paths: string[];
}

/** `unsupported` if only the machine's dpkg can unpack them. */
export function planUnpacking(
  rootfs: string,
  debs: readonly PlainDeb[],
  { order, signal }: { order: InstallOrder; signal: AbortSignal },
): UnpackedPackages {
  if (!order.isPlain) throw unsupported("packages are replaced");
  using reader = openExt4(rootfs);
  const state = readDpkgState(reader);
  const packages = inOrder(debs, order.unpack, state);
  fill(packages, reader, { state, signal });
  const first = order.configureFirst.map((name) => packageNamed(packages, name).fullName);
  const database = databaseOf(packages, { state, order });
  const size_bytes = packages
    .flatMap(({ entries }) => entries)
    .reduce((sum, entry) => sum + (entry?.size ?? 0), 0);
  return {
    count: packages.length,
    size_bytes,
    scripts: () => archiveOf(scriptsOf(packages, first, state)),
    tree: () => treeOf(packages, database, signal),
  };
}

/** In apt's order. */
function inOrder(debs: readonly PlainDeb[], order: readonly string[], state: DpkgState): Package[] {
  const present = new Set(stanzasOf(state.status).map((stanza) => fieldOf(stanza, "Package")));
  let control_bytes = 0;
  const packages = debs.map(({ path, stanza }) => {
    const one = packageOf(path, stanza);
    for (const { bytes } of one.control) control_bytes += bytes.length;
    if (control_bytes > CONTROL_MAX_BYTES) throw unsupported("control files too large");
    return one;
  });
  for (const { name, architecture } of packages) {
    if (present.has(name)) throw unsupported(`${name} was installed before`);
    if (architecture !== "all" && architecture !== state.native) {
      throw unsupported(`${name} is for ${architecture}`);
    }
  }
  const sorted = order.map((name) => packageNamed(packages, name));
  if (new Set(sorted).size !== packages.length) throw unsupported("packages in another order");
  return sorted;
}

function packageOf(deb: string, stanza: string): Package {
  const name = fieldOf(stanza, "Package") ?? "";
  const architecture = fieldOf(stanza, "Architecture") ?? "";
  if (!/^[a-z0-9][a-z0-9+.-]+$/.test(name) || !/^[a-z0-9-]+$/.test(architecture)) {
    throw unsupported("name of a package");
  }
  const isShared = fieldOf(stanza, "Multi-Arch")?.toLowerCase() === "same";
  const control = controlFiles(deb);
  const lines = textOf(control, "conffiles").split("\n").filter(Boolean);
  if (lines.some((line) => !/^\/\S+$/.test(line))) throw unsupported(`configuration of ${name}`);
  const fullName = isShared ? `${name}:${architecture}` : name;
  const conffiles = new Set(lines);
  return { deb, stanza, name, architecture, fullName, control, conffiles, entries: [], paths: [] };
}

function packageNamed(packages: readonly Package[], name: string): Package {
  const found = packages.find((each) => each.name === name);
  if (!found) throw unsupported(`package ${name} of another architecture`);
  return found;
}

function textOf(control: readonly ControlFile[], name: string): string {
  return control.find((file) => file.name === name)?.bytes.toString("latin1") ?? "";
}

/** Finds a place for each file. */
function fill(
  packages: readonly Package[],
  reader: Ext4Reader,
  { state, signal }: { state: DpkgState; signal: AbortSignal },
): void {
  const tree = new ImageTree(reader);
  const parents = new Set<string>();
  let count = 0;
  for (const one of packages) {
    const turns = readArchive(one.deb, "data.tar", {
      entry(entry) {
        if (++count > ENTRIES_MAX) throw unsupported("too many files");
        const path = pathOf(entry.name);
        one.paths.push(path);
        if (state.overridden.has(path)) throw unsupported(`${path} is overridden`);
        const written = path === "/." ? undefined : writtenFor(entry, { path, one, tree });
        if (written) parents.add(posix.dirname(Buffer.from(written.name).toString("latin1")));
        one.entries.push(written);
      },
    });
    while (!turns.next().done) throwIfAborted(signal);
    const hasFiles = one.entries.some((entry) => entry?.type === "file");
    if (hasFiles && !one.control.some(({ name }) => name === "md5sums")) {
      throw unsupported(`${one.name} has no checksums`);
    }
  }
  // Whatever is put into a directory changes its time.
  const now = tarTime(BigInt(Date.now()) * 1_000_000n);
  for (const entry of packages.flatMap(({ entries }) => entries)) {
    const isFilled = entry && parents.has(Buffer.from(entry.name).toString("latin1"));
    if (isFilled) Object.assign(entry, now);
  }
}

/** As dpkg names it; the root is "/.". */
function pathOf(name: Uint8Array): string {
  const own = Buffer.from(name)
    .toString("latin1")
    .replace(/^\.?\//, "")
    .replace(/\/$/, "");
  if (own === "" || own === ".") return "/.";
  if (own.includes("\n") || own.split("/").some((part) => part === "" || /^\.\.?$/.test(part))) {
    throw unsupported(`path "${own.slice(0, 100)}"`);
  }
  return `/${own}`;
}

/** Undefined for directories that are there already. */
function writtenFor(
  entry: TarEntry,
  { path, one, tree }: { path: string; one: Package; tree: ImageTree },
): WrittenEntry | undefined {
  const { type, mode, uid, gid, size, mtime_s, mtime_ns } = entry;
  const place = tree.place(path);
  if (type === "directory" && tree.isDirectory(place)) return undefined;
  if (tree.isTaken(place)) throw unsupported(`${path} exists`);
  if (uid > FIXED_ID_MAX || gid > FIXED_ID_MAX || entry.xattrs.length > 0) {
    throw unsupported(`owner of ${path}`);
  }
  const common = { mode, uid, gid, size, mtime_s, mtime_ns };
  const named = (at: string): Buffer => Buffer.from(at.slice(1), "latin1");
  const isConfiguration = one.conffiles.has(path);
  if (isConfiguration && type !== "file") throw unsupported(`type of ${path}`);
  if (type === "directory") {
    tree.add(place, { kind: "directory" });
    return { ...common, type, name: named(place) };
  }
  if (type === "symlink") {
    const linkName = Buffer.from(entry.linkName);
    tree.add(place, { kind: "symlink", target: linkName.toString("latin1") });
    return { ...common, type, name: named(place), linkName };
  }
  tree.add(place, { kind: "file" });
  if (type === "file") {
    const name = named(isConfiguration ? `${place}.dpkg-new` : place);
    return { ...common, type, name };
  }
  if (type !== "link") throw unsupported(`type of ${path}`);
  const target = pathOf(entry.linkName);
  if (one.conffiles.has(target)) throw unsupported(`link to ${target}`);
  return { ...common, size: 0, type, name: named(place), linkName: named(tree.place(target)) };
}

// ------------------------------------------------------------------ dpkg's database

interface OwnFile {
  /** Relative. */
  name: string;
  bytes: Uint8Array;
  mode?: number;
  /** Default: now. */
  mtime_s?: number;
}

function databaseOf(
  packages: readonly Package[],
  { state, order }: { state: DpkgState; order: InstallOrder },
): OwnFile[] {
  const info = packages.flatMap(({ fullName, control, paths }): OwnFile[] => {
    const name = (extension: string): string => `${ADMIN.slice(1)}/info/${fullName}.${extension}`;
    const list = Buffer.from(paths.map((path) => `${path}\n`).join(""), "latin1");
    return [
      { name: name("list"), bytes: list },
      ...control.map((file) => ({ ...file, name: name(file.name) })),
    ];
  });
  const own = packages.map(({ fullName, control, paths }) => {
    return { name: fullName, triggers: textOf(control, "triggers"), paths };
  });
  const triggers = [...interestsOf(own, state), ...activationsOf(own, state)];
  const automatic = packages
    .filter(({ name }) => !order.wanted.includes(name))
    .map(({ name, architecture }) => {
      const native = architecture === "all" ? state.native : architecture;
      return `Package: ${name}\nArchitecture: ${native}\nAuto-Installed: 1\n\n`;
    });
  return [
    ...info,
    ...triggers.map(({ name, text }) => ({
      name: `${ADMIN.slice(1)}/triggers/${name}`,
      bytes: Buffer.from(text, "latin1"),
    })),
    {
      name: EXTENDED_STATES.slice(1),
      bytes: Buffer.from(state.extendedStates + automatic.join(""), "latin1"),
    },
    { name: `${ADMIN.slice(1)}/status`, bytes: statusOf(packages, state) },
  ];
}

function statusOf(packages: readonly Package[], state: DpkgState): Buffer {
  const stanzas = packages.map(({ stanza, conffiles }) => {
    const [first = "", ...rest] = stanza.split("\n").filter((line) => line.trim() !== "");
    if (!/^Package:/i.test(first)) throw unsupported("fields in another order");
    const lines = [...conffiles].map((path) => ` ${path} newconffile`);
    const own = lines.length > 0 ? ["Conffiles:", ...lines] : [];
    return `${[first, "Status: install ok unpacked", ...rest, ...own].join("\n")}\n\n`;
  });
  const before = state.status.trimEnd();
  return Buffer.concat([Buffer.from(`${before}\n\n`, "latin1"), Buffer.from(stanzas.join(""))]);
}

/** The scripts in apt's order, a list of them, and the packages that are configured before all others. */
function scriptsOf(
  packages: readonly Package[],
  first: readonly string[],
  state: DpkgState,
): OwnFile[] {
  const scripts = packages.flatMap(({ name, architecture, control }) => {
    const script = control.find((file) => file.name === "preinst");
    return script ? [{ name, architecture, bytes: script.bytes }] : [];
  });
  const lines = scripts.map(({ name, architecture }) => `${name} ${architecture}\n`);
  const text = (name: string, lines: readonly string[]): OwnFile => {
    return { name, bytes: Buffer.from(lines.join("")) };
  };
  return [
    text("count", [`${packages.length}\n`]),
    text("first", [`${first.join(" ")}\n`]),
    text("version", [`${state.version}\n`]),
    text("scripts", lines),
    ...scripts.map(({ name, bytes }) => ({ name: `${name}.${SCRIPTS}`, bytes, mode: 0o755 })),
  ];
}

// ------------------------------------------------------------------------- archives

async function* treeOf(
  packages: readonly Package[],
  database: readonly OwnFile[],
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for (const { deb, entries } of packages) {
    let parts: Uint8Array[] = [];
    let index = 0;
    let size = 0;
    let isWritten = false;
    const turns = readArchive(deb, "data.tar", {
      entry() {
        const entry = entries[index++];
        isWritten = entry !== undefined;
        size = entry?.size ?? 0;
        if (entry) parts.push(tarHeader(entry));
      },
      data(bytes) {
        if (isWritten) parts.push(Buffer.from(bytes));
      },
      end() {
        if (isWritten) parts.push(tarPadding(size));
      },
    });
    while (!turns.next().done) {
      throwIfAborted(signal);
      yield Buffer.concat(parts);
      parts = [];
    }
    yield Buffer.concat(parts);
  }
  yield* archiveOf(database);
}

async function* archiveOf(files: readonly OwnFile[]): AsyncGenerator<Uint8Array> {
  const now = tarTime(BigInt(Date.now()) * 1_000_000n);
  for (const { name, bytes, mode = 0o644, mtime_s } of files) {
    const time = mtime_s === undefined ? now : { mtime_s, mtime_ns: 0 };
    const own = { type: "file" as const, name: Buffer.from(name, "latin1"), mode, uid: 0, gid: 0 };
    yield tarHeader({ ...own, size: bytes.length, ...time });
    yield bytes;
    yield tarPadding(bytes.length);
  }
  yield TAR_END;
}
