/**
 * The initrd of a boot: an uncompressed newc cpio with the agent as /init, the modules and the
 * first-boot script, which is the same for every machine of a kernel, and behind it a small one with
 * the boot record. The kernel unpacks archives that follow each other, at multiples of 4 bytes.
 * Format: Documentation/driver-api/early-userspace/buffer-format.rst of Linux.
 */
import { assert } from "#base/assert.ts";
import { type BootRecord, encodeBootRecord } from "./boot.ts";

const HEADER_BYTES = 110;
const TRAILER_NAME = "TRAILER!!!";
const REGULAR = 0o100000;
const FOLDER = 0o040000;
const MODULES_FOLDER = "lib/banger";

export interface InitrdEntry {
  /** Relative: "banger/boot". Folders above it are added. */
  path: string;
  /** Permissions, default 0o644. */
  mode?: number;
  data: Uint8Array;
}

export interface InitrdModule {
  /** File name, with what tells its compression: "virtio_blk.ko.xz". */
  name: string;
  data: Uint8Array;
}

export interface InitrdParts {
  agent: Uint8Array;
  /** The first-boot script. */
  firstBoot: Uint8Array;
  modules: readonly InitrdModule[];
}

/** Where a module of `buildStaticInitrd` lies: what the boot record names. */
export function moduleInitrdPath(name: string): string {
  assert(/^[\w.+-]+$/.test(name), "a module has a plain file name");
  return `/${MODULES_FOLDER}/${name}`;
}

/** The part that depends on kernel and program only. */
export function buildStaticInitrd(parts: InitrdParts): Uint8Array {
  return buildCpio([
    { path: "init", mode: 0o755, data: parts.agent },
    { path: "banger/first-boot", mode: 0o755, data: parts.firstBoot },
    ...parts.modules.map(({ name, data }) => ({ path: moduleInitrdPath(name).slice(1), data })),
  ]);
}

/** A static part with the record of one boot. */
export function buildInitrd(staticPart: Uint8Array, record: BootRecord): Uint8Array {
  const boot = buildCpio([{ path: "banger/boot", mode: 0o600, data: encodeBootRecord(record) }]);
  const bytes = new Uint8Array(staticPart.length + boot.length);
  bytes.set(staticPart);
  bytes.set(boot, staticPart.length);
  return bytes;
}

/** One newc archive; all times are 0, everything belongs to root. */
export function buildCpio(entries: readonly InitrdEntry[]): Uint8Array {
  const members = [...withFolders(entries), { name: TRAILER_NAME, mode: 0, data: empty }];
  const size = members.reduce((sum, member) => sum + memberSize(member), 0);
  const bytes = new Uint8Array(size);
  let at = 0;
  members.forEach((member, index) => {
    at = writeMember(bytes, at, { ...member, inode: index + 1 });
  });
  return bytes;
}

const empty = new Uint8Array(0);

interface Member {
  name: string;
  /** With the file type. */
  mode: number;
  data: Uint8Array;
}

function withFolders(entries: readonly InitrdEntry[]): Member[] {
  const members: Member[] = [];
  const known = new Set<string>();
  for (const { path, mode = 0o644, data } of entries) {
    const parts = path.split("/");
    for (let depth = 1; depth < parts.length; depth++) {
      const name = parts.slice(0, depth).join("/");
      if (known.has(name)) continue;
      known.add(name);
      members.push({ name, mode: FOLDER | 0o755, data: empty });
    }
    members.push({ name: path, mode: REGULAR | mode, data });
  }
  return members;
}

function memberSize({ name, data }: Member): number {
  return align(HEADER_BYTES + Buffer.byteLength(name) + 1) + align(data.length);
}

/** Gives the offset behind the member. */
function writeMember(bytes: Uint8Array, at: number, member: Member & { inode: number }): number {
  const isFolder = (member.mode & FOLDER) !== 0 && (member.mode & REGULAR) === 0;
  const links = isFolder ? 2 : 1;
  const nameSize = Buffer.byteLength(member.name) + 1;
  /* inode mode uid gid links mtime size devmajor devminor rdevmajor rdevminor namesize check */
  const numbers = [
    member.inode,
    member.mode,
    0,
    0,
    links,
    0,
    member.data.length,
    0,
    0,
    0,
    0,
    nameSize,
    0,
  ];
  const header = `070701${numbers.map(hex8).join("")}${member.name}\0`;
  bytes.set(new TextEncoder().encode(header), at);
  const dataAt = at + align(HEADER_BYTES + nameSize);
  bytes.set(member.data, dataAt);
  return dataAt + align(member.data.length);
}

function hex8(number: number): string {
  return number.toString(16).padStart(8, "0");
}

function align(size: number): number {
  return (size + 3) & ~3;
}
