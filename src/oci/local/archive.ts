/**
 * Files inside a tar on disk, read in place. Only what archives of images hold: regular
 * files and the links with which old versions of `docker save` share layers; names by
 * ustar, GNU ("L") or pax ("path"); sizes in octal, base-256 or pax ("size").
 * Format: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
 */
import type { FileHandle } from "node:fs/promises";
import { posix } from "node:path";
import { BangerError, errnoOf, throwIfAborted } from "#base/error.ts";
import { openRegular, readAt, readChunks } from "#base/files/chunks.ts";
import { MiB } from "#base/size.ts";
import type { FileTree } from "./file-tree.ts";

const BLOCK_BYTES = 512;
const MAX_ENTRIES = 100_000;
const MAX_EXTENDED_BYTES = 1 * MiB;
const MAX_LINKS = 16;

type Entry = { kind: "file"; offset: number; size: number } | { kind: "link"; target: string };

interface Header {
  name: string;
  size: number;
  type: string;
  linkName: string;
}

/** Reads the headers of the whole archive. Throws `not_found` or `integrity`. `name`: what messages call it. */
export async function openArchive(
  path: string,
  { signal, name = path }: { signal?: AbortSignal | undefined; name?: string } = {},
): Promise<FileTree> {
  const what = `"${name}"`;
  const entries = await withFile(path, (file) => readIndex(file, what, signal));

  function find(name: string): Extract<Entry, { kind: "file" }> | undefined {
    let at = name;
    for (let hop = 0; hop <= MAX_LINKS; hop++) {
      const entry = entries.get(at);
      if (entry?.kind !== "link") return entry;
      at = entry.target;
    }
    throw new BangerError("integrity", `Cannot read ${what}: the links to "${name}" do not end`);
  }

  return {
    what,
    async size(name) {
      return find(name)?.size;
    },
    async *stream(name, options = {}) {
      const entry = find(name);
      if (!entry) throw new BangerError("not_found", `Cannot read ${what}: it has no "${name}"`);
      const length = Math.min(entry.size, options.max_bytes ?? entry.size);
      let done = 0;
      for await (const chunk of readChunks(path, {
        start: entry.offset,
        length,
        signal: options.signal,
      })) {
        done += chunk.length;
        yield chunk;
      }
      if (done < length) throw truncated(what);
    },
  };
}

async function readIndex(
  file: FileHandle,
  what: string,
  signal: AbortSignal | undefined,
): Promise<Map<string, Entry>> {
  const entries = new Map<string, Entry>();
  const { size: end } = await file.stat();
  if (end < BLOCK_BYTES) throw notTar(what, true);
  let next: Partial<Header> = {};
  let offset = 0;
  for (let count = 0; offset + BLOCK_BYTES <= end; count++) {
    throwIfAborted(signal);
    if (count > MAX_ENTRIES) {
      throw new BangerError(
        "limit_exceeded",
        `Cannot read ${what}: it has more than ${MAX_ENTRIES} entries`,
      );
    }
    const block = await readAt(file, offset, BLOCK_BYTES);
    if (block.every((byte) => byte === 0)) return entries;
    const plain = parseHeader(block, what, count === 0);
    offset += BLOCK_BYTES;
    const isExtension = "LKxg".includes(plain.type);
    const header = isExtension ? plain : { ...plain, ...next };
    if (offset + header.size > end) throw truncated(what);
    if (isExtension) {
      if (header.size > MAX_EXTENDED_BYTES) {
        throw new BangerError(
          "limit_exceeded",
          `Cannot read ${what}: it has a name of ${header.size} bytes`,
        );
      }
      next = { ...next, ...parseExtension(plain.type, await readAt(file, offset, header.size)) };
    } else {
      const entry = toEntry(header, offset);
      if (entry) entries.set(cleanName(header.name), entry);
      next = {};
    }
    offset += Math.ceil(header.size / BLOCK_BYTES) * BLOCK_BYTES;
  }
  return entries;
}

function toEntry(header: Header, offset: number): Entry | undefined {
  const { name, size, type, linkName } = header;
  if (type === "0" || type === "\0" || type === "7") return { kind: "file", offset, size };
  if (type === "1") return { kind: "link", target: cleanName(linkName) };
  if (type === "2")
    return { kind: "link", target: cleanName(posix.join(posix.dirname(name), linkName)) };
  return undefined;
}

function parseHeader(block: Uint8Array, what: string, isFirst: boolean): Header {
  if (!hasChecksum(block)) throw notTar(what, isFirst);
  const size = number(block, 124, 12);
  if (size === undefined) {
    throw new BangerError("integrity", `Cannot read ${what}: it has an entry of no valid size`);
  }
  // GNU tar keeps other things than a prefix at that place.
  const isPosix = text(block, 257, 8).startsWith("ustar") && !text(block, 257, 8).includes(" ");
  const prefix = isPosix ? text(block, 345, 155) : "";
  const name = text(block, 0, 100);
  const type = String.fromCharCode(block[156] ?? 0);
  const hasData = !"12345".includes(type) || type === "\0";
  return {
    name: prefix ? `${prefix}/${name}` : name,
    size: hasData ? size : 0,
    type,
    linkName: text(block, 157, 100),
  };
}

function parseExtension(type: string, data: Uint8Array): Partial<Header> {
  if (type === "L") return { name: text(data, 0, data.length) };
  if (type === "K") return { linkName: text(data, 0, data.length) };
  // Global headers (type "g") of image archives hold comments only.
  return type === "x" ? parsePax(data) : {};
}

/** Records of "LENGTH KEY=VALUE\n", where LENGTH counts the whole record. */
function parsePax(data: Uint8Array): Partial<Header> {
  const found: Partial<Header> = {};
  for (let at = 0; at < data.length; ) {
    const record = /^(\d{1,8}) /.exec(text(data, at, 16));
    const length = Number(record?.[1]);
    if (!record || length <= record[0].length || at + length > data.length) break;
    const body = text(data, at + record[0].length, length - record[0].length - 1);
    const equals = body.indexOf("=");
    const value = body.slice(equals + 1);
    const key = body.slice(0, equals);
    if (key === "path") found.name = value;
    if (key === "linkpath") found.linkName = value;
    if (key === "size" && /^\d{1,15}$/.test(value)) found.size = Number(value);
    at += length;
  }
  return found;
}

function hasChecksum(block: Uint8Array): boolean {
  let sum = 0;
  for (const [index, byte] of block.entries()) sum += index >= 148 && index < 156 ? 0x20 : byte;
  return number(block, 148, 8) === sum;
}

/** Octal text, or base-256 when the first bit is set. */
function number(block: Uint8Array, offset: number, length: number): number | undefined {
  const field = block.subarray(offset, offset + length);
  if ((field[0] ?? 0) & 0x80) {
    const value = field.slice(1).reduce((sum, byte) => sum * 256 + byte, (field[0] ?? 0) & 0x7f);
    return Number.isSafeInteger(value) ? value : undefined;
  }
  const digits = text(field, 0, length).trim();
  return /^[0-7]*$/.test(digits) ? Number.parseInt(digits || "0", 8) : undefined;
}

function text(bytes: Uint8Array, offset: number, length: number): string {
  const field = bytes.subarray(offset, offset + length);
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
}

function cleanName(name: string): string {
  return posix.normalize(name).replace(/^(?:\.?\/)+/, "");
}

async function withFile<T>(path: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await openFile(path);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await openRegular(path);
  } catch (error) {
    if (error instanceof BangerError) throw error;
    const code = errnoOf(error) === "ENOENT" ? "not_found" : "permission_denied";
    const why =
      code === "not_found" ? "there is no such file" : `it is not readable (${errnoOf(error)})`;
    throw new BangerError(code, `Cannot open "${path}": ${why}`, { cause: error });
  }
}

function truncated(what: string): BangerError {
  return new BangerError("integrity", `Cannot read ${what}: it ends in the middle of a file`);
}

function notTar(what: string, isFirst: boolean): BangerError {
  const where = isFirst ? "it is not a tar archive" : "it has a damaged header";
  return new BangerError("integrity", `Cannot read ${what}: ${where}`);
}
