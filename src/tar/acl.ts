/**
 * Converts access control lists in text form, which star, GNU tar and libarchive write ("user::rwx,user:1000:r-x,…"),
 * to the kernel's attribute form.
 * Source: acl(5); Linux, include/uapi/linux/posix_acl_xattr.h.
 */

const VERSION = 2;
const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
const NO_ID = 0xffffffff;
const ENTRIES_MAX = 512;

interface AclEntry {
  tag: number;
  perm: number;
  id: number;
}

/** In the kernel's order: the tags without and with a user or group. */
const tags: Readonly<Record<string, { own: number; named: number | undefined }>> = {
  user: { own: 0x01, named: 0x02 },
  group: { own: 0x04, named: 0x08 },
  mask: { own: 0x10, named: undefined },
  other: { own: 0x20, named: undefined },
};
const names: Readonly<Record<string, string>> = { u: "user", g: "group", m: "mask", o: "other" };

/**
 * Undefined for what is none, for what says no more than the mode, and where somebody is named without a number:
 * whose name that is, only the image knows.
 */
export function aclFromText(text: string): Uint8Array | undefined {
  const lines = text
    .split(/[,\n]/)
    .map((line) => line.replace(/#.*/, "").trim())
    .filter((line) => line !== "");
  if (lines.length > ENTRIES_MAX) return undefined;
  const entries: AclEntry[] = [];
  for (const line of lines) {
    const entry = parseEntry(line);
    if (!entry) return undefined;
    entries.push(entry);
  }
  entries.sort((a, b) => a.tag - b.tag || a.id - b.id);
  return isValid(entries) && entries.length > 3 ? toBytes(entries) : undefined;
}

function parseEntry(line: string): AclEntry | undefined {
  const [kind = "", ...rest] = line.split(":");
  const tag = tags[names[kind] ?? kind];
  // The mask and all others may come without the empty name.
  const [who, perms = "", number] = rest.length === 1 ? ["", ...rest] : rest;
  const perm = parsePerms(perms);
  if (!tag || perm === undefined) return undefined;
  if (who === "") return { tag: tag.own, perm, id: NO_ID };
  const id = [number, who].find((each) => each !== undefined && /^\d{1,10}$/.test(each));
  if (id === undefined || Number(id) >= NO_ID || tag.named === undefined) return undefined;
  return { tag: tag.named, perm, id: Number(id) };
}

function parsePerms(text: string): number | undefined {
  if (!/^[rwx-]{1,3}$/.test(text)) return undefined;
  return (text.includes("r") ? 4 : 0) | (text.includes("w") ? 2 : 0) | (text.includes("x") ? 1 : 0);
}

/** Every required entry once, a mask if there are named entries, and no duplicates. */
function isValid(entries: readonly AclEntry[]): boolean {
  const count = (tag: number): number => entries.filter((entry) => entry.tag === tag).length;
  const keys = new Set(entries.map(({ tag, id }) => `${tag} ${id}`));
  const isNamed = count(0x02) + count(0x08) > 0;
  const hasAll = [0x01, 0x04, 0x20].every((tag) => count(tag) === 1);
  return hasAll && keys.size === entries.length && (!isNamed || count(0x10) === 1);
}

function toBytes(entries: readonly AclEntry[]): Uint8Array {
  const bytes = Buffer.alloc(HEADER_BYTES + entries.length * ENTRY_BYTES);
  bytes.writeUInt32LE(VERSION, 0);
  for (const [index, { tag, perm, id }] of entries.entries()) {
    const at = HEADER_BYTES + index * ENTRY_BYTES;
    bytes.writeUInt16LE(tag, at);
    bytes.writeUInt16LE(perm, at + 2);
    bytes.writeUInt32LE(id, at + 4);
  }
  return bytes;
}
