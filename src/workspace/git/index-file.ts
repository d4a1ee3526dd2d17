/**
 * Reads a git index, versions 2 to 4, of the user's repository or of a hostile guest's: every number is checked before
 * use, and names that git itself would not accept in an index are refused. Source: git, Documentation/gitformat-index.
 */
import { BangerError } from "#base/error.ts";

export interface IndexEntry {
  name: string;
  mode: number;
  id: string;
  /** 0, or 1 to 3 for the sides of a conflict. */
  stage: number;
  size: number;
  mtime_s: number;
  mtime_ns: number;
  isIntentToAdd: boolean;
  isSkipped: boolean;
}

const ENTRIES_MAX = 2_000_000;
const NAME_MAX_BYTES = 4096;
const HEADER_BYTES = 12;
const STAT_BYTES = 40;
const EXTENDED = 0x4000;
const SKIP_WORKTREE = 0x4000;
const INTENT_TO_ADD = 0x2000;
const MODES = new Set([0o100644, 0o100755, 0o120000, 0o160000]);

/** `hash_bytes`: 20, or 32 in a SHA-256 repository. */
export function parseIndex(bytes: Uint8Array, hash_bytes: number): IndexEntry[] {
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (data.length < HEADER_BYTES + hash_bytes || data.toString("latin1", 0, 4) !== "DIRC") {
    throw damaged("not an index");
  }
  const version = data.readUInt32BE(4);
  const count = data.readUInt32BE(8);
  if (version < 2 || version > 4) throw damaged(`unknown version ${version}`);
  if (count > ENTRIES_MAX) throw damaged(`${count} entries`);
  const end = data.length - hash_bytes;
  const entries: IndexEntry[] = [];
  let at = HEADER_BYTES;
  let last = "";
  for (let index = 0; index < count; index++) {
    const start = at;
    const fixed = STAT_BYTES + hash_bytes + 2;
    if (at + fixed + 2 > end) throw damaged("it is cut off");
    const mode = data.readUInt32BE(at + 24);
    const flags = data.readUInt16BE(at + STAT_BYTES + hash_bytes);
    const isExtended = (flags & EXTENDED) !== 0 && version > 2;
    const extra = isExtended ? data.readUInt16BE(at + fixed) : 0;
    at += fixed + (isExtended ? 2 : 0);
    let prefix = "";
    if (version === 4) {
      const { value, next } = readVarint(data, at, end);
      if (value > last.length)
        throw damaged("an entry takes more from its predecessor than it has");
      prefix = last.slice(0, last.length - value);
      at = next;
    }
    const zero = data.indexOf(0, at);
    if (zero < 0 || zero >= end || zero - at > NAME_MAX_BYTES) throw damaged("a name has no end");
    const name = prefix + data.toString("latin1", at, zero);
    // Before version 4, entries are padded with one to eight zero bytes.
    at = version === 4 ? zero + 1 : start + ((zero - start + 8) & ~7);
    checkName(name);
    if (!MODES.has(mode)) throw damaged(`mode ${mode.toString(8)}`);
    last = name;
    entries.push({
      name,
      mode,
      id: data.toString("hex", start + STAT_BYTES, start + STAT_BYTES + hash_bytes),
      stage: (flags >> 12) & 3,
      size: data.readUInt32BE(start + 36),
      mtime_s: data.readUInt32BE(start + 8),
      mtime_ns: data.readUInt32BE(start + 12),
      isIntentToAdd: (extra & INTENT_TO_ADD) !== 0,
      isSkipped: (extra & SKIP_WORKTREE) !== 0,
    });
  }
  checkExtensions(data, at, end);
  return entries;
}

/** Whether git would consider the file unchanged without reading its content. */
export function isFresh(
  entry: IndexEntry,
  file: { mode: number; size: number; mtime_s: number; mtime_ns: number },
  written_s: number,
): boolean {
  const { mode, size, mtime_s, mtime_ns } = entry;
  const kind = file.mode & 0o170000;
  if ((mode & 0o170000) !== kind) return false;
  if (kind === 0o100000 && ((mode & 0o100) !== 0) !== ((file.mode & 0o100) !== 0)) return false;
  // git stores zero if the entry may be racy.
  if (size !== file.size % 2 ** 32 || mtime_s !== file.mtime_s % 2 ** 32) return false;
  if (mtime_ns !== 0 && mtime_ns !== file.mtime_ns) return false;
  return mtime_s < written_s;
}

/** As git's verify_path(): no part is empty, "." or "..", or could be the repository's own directory. */
function checkName(name: string): void {
  for (const part of name.split("/")) {
    if (part === "" || part === "." || part === ".." || isGitDirectory(part)) {
      throw damaged(`the name ${JSON.stringify(name.slice(0, 200))}`);
    }
  }
}

/** Also as file systems write it that ignore case and some characters. */
export function isGitDirectory(part: string): boolean {
  const plain = Buffer.from(part, "latin1")
    .toString()
    .replace(/[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/g, "");
  return /^(\.git|git~\d+)[ .]*(:.*)?$/i.test(plain);
}

function checkExtensions(data: Buffer, from: number, end: number): void {
  for (let at = from; at + 8 <= end; at += 8 + data.readUInt32BE(at + 4)) {
    const signature = data.toString("latin1", at, at + 4);
    if (signature === "link") throw damaged("it is split");
    if (signature === "sdir") throw damaged("it is sparse");
  }
}

/** The offset encoding of packs. */
function readVarint(data: Buffer, at: number, end: number): { value: number; next: number } {
  let next = at;
  let byte = next < end ? data.readUInt8(next++) : 0x80;
  let value = byte & 0x7f;
  while (byte & 0x80) {
    if (next >= end || value > NAME_MAX_BYTES) throw damaged("a name has no beginning");
    byte = data.readUInt8(next++);
    value = (value + 1) * 128 + (byte & 0x7f);
  }
  return { value, next };
}

function damaged(problem: string): BangerError {
  return new BangerError("integrity", `Cannot read the git index: ${problem}`);
}
