/**
 * What the host's apt needs to know of an image: its sources, keyrings, pins and installed packages, read from its
 * file system. The image's configuration of apt is not read: it could name programs.
 */
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { modes } from "#ext4/format.ts";
import { followLinks } from "#ext4/read/links.ts";
import { type Ext4Reader, openExt4 } from "#ext4/read/reader.ts";
import { fieldOf, installedStanza, STATUS_MAX_BYTES } from "./dpkg-state.ts";
import { type AptSource, parseSources } from "./sources.ts";

const FILE_MAX_BYTES = MiB;
const FILES_MAX = 64;
const ARCHITECTURES_MAX = 8;
const SOURCES_MAX = 64;

const SOURCES = { file: "/etc/apt/sources.list", folder: "/etc/apt/sources.list.d" };
const PINS = { file: "/etc/apt/preferences", folder: "/etc/apt/preferences.d" };
const KEYRINGS = { file: "/etc/apt/trusted.gpg", folder: "/etc/apt/trusted.gpg.d" };
const STATUS = "/var/lib/dpkg/status";

export interface NamedFile {
  name: string;
  bytes: Uint8Array;
}

export interface AptImage {
  sources: AptSource[];
  /** Those of sources that name none. */
  keyrings: NamedFile[];
  /** By the path that a source names. */
  ownKeyrings: ReadonlyMap<string, NamedFile>;
  pins: NamedFile[];
  /** dpkg's list of installed packages. */
  status: Uint8Array;
  /** The native one first. */
  architectures: string[];
}

/** `unsupported` for what only the guest's apt can use. */
export function readAptImage(rootfs: string): AptImage {
  using reader = openExt4(rootfs);
  const sources: AptSource[] = [];
  for (const { name, bytes } of filesOf(reader, SOURCES, /\.(list|sources)$/)) {
    sources.push(...parseSources(name, Buffer.from(bytes).toString()));
    if (sources.length > SOURCES_MAX) throw unsupported(`more than ${SOURCES_MAX} sources`);
  }
  if (sources.length === 0) throw unsupported("the image has no package sources");
  const paths = sources.flatMap(({ signedBy }) =>
    signedBy && "paths" in signedBy ? signedBy.paths : [],
  );
  const named = [...new Set(paths)];
  if (named.length > FILES_MAX) throw unsupported(`more than ${FILES_MAX} keyrings`);
  const ownKeyrings = new Map(
    named.map((path) => {
      const bytes = read(reader, path, FILE_MAX_BYTES);
      if (!bytes) throw unsupported(`missing keyring "${path}"`);
      return [path, { name: path.replace(/.*\//, ""), bytes }];
    }),
  );
  const status = read(reader, STATUS, STATUS_MAX_BYTES);
  if (!status) throw unsupported(`missing file ${STATUS}`);
  return {
    sources,
    keyrings: filesOf(reader, KEYRINGS, /\.(gpg|asc)$/),
    ownKeyrings,
    pins: filesOf(reader, PINS, /^[\w-]+(\.pref)?$/),
    status,
    architectures: architecturesOf(reader, status),
  };
}

/** dpkg's own list names the native one first; without it, there is no other. */
function architecturesOf(reader: Ext4Reader, status: Uint8Array): string[] {
  const listed = read(reader, "/var/lib/dpkg/arch", FILE_MAX_BYTES);
  const names = (listed ? Buffer.from(listed).toString() : "").split("\n").filter(Boolean);
  const dpkg = installedStanza(Buffer.from(status).toString("latin1"), "dpkg") ?? "";
  const all = names.length > 0 ? names : [fieldOf(dpkg, "Architecture") ?? ""];
  const isFine = all.every((name) => /^[a-z0-9][a-z0-9-]{0,31}$/.test(name));
  if (!isFine || all.length > ARCHITECTURES_MAX) throw unsupported("unknown architecture");
  return all;
}

/** In the order in which apt reads them. */
function filesOf(
  reader: Ext4Reader,
  { file, folder }: { file: string; folder: string },
  wanted: RegExp,
): NamedFile[] {
  const found = followLinks(reader, folder);
  const isFolder = found?.file.type === modes.DIRECTORY;
  const names = (isFolder ? reader.list(found.path) : [])
    .map(({ name }) => Buffer.from(name).toString("latin1"))
    .filter((name) => wanted.test(name) && /^[\w.+~-]+$/.test(name))
    .sort();
  if (names.length > FILES_MAX) throw unsupported(`more than ${FILES_MAX} files in ${folder}`);
  return [file, ...names.map((name) => `${folder}/${name}`)].flatMap((path) => {
    const bytes = read(reader, path, FILE_MAX_BYTES);
    return bytes && bytes.length > 0 ? [{ name: path.replace(/.*\//, ""), bytes }] : [];
  });
}

function read(reader: Ext4Reader, path: string, max_bytes: number): Uint8Array | undefined {
  const found = followLinks(reader, path);
  if (found?.file.type !== modes.REGULAR) return undefined;
  return reader.readFile(found.path, max_bytes);
}

function unsupported(why: string): BangerError {
  return new BangerError("unsupported", why);
}
