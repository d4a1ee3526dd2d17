/**
 * Writes tar headers: ustar where the fields fit, else with PAX records before them. Names and values are bytes; the
 * same entry gives the same bytes.
 * Source: POSIX.1-2017 pax; for sparse files the GNU tar manual, "PAX Format, Version 1.0".
 */
import type { TarEntryType } from "./entry.ts";
import { TAR_BLOCK_BYTES } from "./header.ts";
import type { TarXattr } from "./pax.ts";

export interface WrittenEntry {
  type: TarEntryType;
  /** Relative, without a "/" at the end. */
  name: Uint8Array;
  linkName?: Uint8Array;
  mode: number;
  uid: number;
  gid: number;
  /** Of a file: its length, holes counted. */
  size: number;
  mtime_s: number;
  mtime_ns: number;
  major?: number;
  minor?: number;
  xattrs?: readonly TarXattr[];
  /** Where the data of a file with holes is; whole blocks but for the last. The data follows part by part. */
  parts?: readonly DataPart[];
}

export interface DataPart {
  offset: number;
  length: number;
}

const NAME_BYTES = 100;
const OCTAL_8_MAX = 0o7777777;
const OCTAL_12_MAX = 0o77777777777;
const typeCodes: Record<TarEntryType, string> = {
  file: "0",
  link: "1",
  symlink: "2",
  character: "3",
  block: "4",
  directory: "5",
  fifo: "6",
};
const NO_BYTES = new Uint8Array(0);

const NS_PER_S = 1_000_000_000n;

/** Two zero blocks. */
export const TAR_END: Uint8Array = new Uint8Array(2 * TAR_BLOCK_BYTES);

/** What stands before the entry's data; `tarPadding` of the data stands behind it. */
export function tarHeader(entry: WrittenEntry): Uint8Array {
  const name = nameOf(entry);
  const linkName = entry.linkName ?? NO_BYTES;
  const map = entry.parts ? sparseMap(entry.parts, entry.size) : NO_BYTES;
  const dataSize = entry.parts ? map.length + storedBytes(entry.parts) : entry.size;
  const records: Buffer[] = [];
  const record = (key: string | Uint8Array, value: string | Uint8Array): void => {
    records.push(paxRecord(Buffer.from(key), Buffer.from(value)));
  };
  if (entry.parts) {
    record("GNU.sparse.major", "1");
    record("GNU.sparse.minor", "0");
    record("GNU.sparse.name", name);
    record("GNU.sparse.realsize", String(entry.size));
  } else if (name.length > NAME_BYTES) record("path", name);
  if (linkName.length > NAME_BYTES) record("linkpath", linkName);
  if (dataSize > OCTAL_12_MAX) record("size", String(dataSize));
  if (entry.uid > OCTAL_8_MAX) record("uid", String(entry.uid));
  if (entry.gid > OCTAL_8_MAX) record("gid", String(entry.gid));
  if (entry.mtime_ns !== 0 || entry.mtime_s < 0 || entry.mtime_s > OCTAL_12_MAX) {
    record("mtime", timeText(entry.mtime_s, entry.mtime_ns));
  }
  for (const { name: key, value } of entry.xattrs ?? []) {
    record(Buffer.concat([Buffer.from("SCHILY.xattr."), key]), value);
  }
  const header = ustarHeader({ ...entry, name, linkName, size: dataSize });
  if (records.length === 0) return Buffer.concat([header, map]);
  const body = Buffer.concat(records);
  return Buffer.concat([paxHeader(body.length), body, tarPadding(body.length), header, map]);
}

/** Zeros from the end of `size` bytes to the next block. */
export function tarPadding(size: number): Uint8Array {
  return new Uint8Array((TAR_BLOCK_BYTES - (size % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES);
}

export function storedBytes(parts: readonly DataPart[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0);
}

/** A time of stat(2) as the fields of an entry; before 1970 as well. */
export function tarTime(time_ns: bigint): Pick<WrittenEntry, "mtime_s" | "mtime_ns"> {
  const mtime_ns = ((time_ns % NS_PER_S) + NS_PER_S) % NS_PER_S;
  return { mtime_s: Number((time_ns - mtime_ns) / NS_PER_S), mtime_ns: Number(mtime_ns) };
}

/** How many parts there are, and offset and length of each, one number a line, padded to a block. */
function sparseMap(parts: readonly DataPart[], size: number): Uint8Array {
  // A part of no bytes at the end says how long the file is for readers that take it from the map.
  const all = [...parts, { offset: size, length: 0 }];
  const lines = [all.length, ...all.flatMap(({ offset, length }) => [offset, length])];
  const text = Buffer.from(`${lines.join("\n")}\n`);
  return Buffer.concat([text, tarPadding(text.length)]);
}

function nameOf({ type, name }: WrittenEntry): Uint8Array {
  return type === "directory" ? Buffer.concat([name, Buffer.from("/")]) : name;
}

function paxHeader(size: number): Buffer {
  return ustarHeader({
    type: "file",
    code: "x",
    name: Buffer.from("PaxHeaders/entry"),
    linkName: NO_BYTES,
    mode: 0o644,
    uid: 0,
    gid: 0,
    size,
    mtime_s: 0,
    mtime_ns: 0,
  });
}

/** One record "LENGTH KEY=VALUE\n", whose length counts itself. */
function paxRecord(key: Buffer, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(" "), key, Buffer.from("="), value, Buffer.from("\n")]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length++;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** Seconds with nine decimals; before 1970 the fraction counts down as well. */
function timeText(s: number, ns: number): string {
  if (s >= 0 || ns === 0) return ns === 0 ? String(s) : `${s}.${String(ns).padStart(9, "0")}`;
  const whole = s + 1;
  const fraction = String(1_000_000_000 - ns).padStart(9, "0");
  return `-${Math.abs(whole)}.${fraction}`;
}

function ustarHeader(
  entry: WrittenEntry & { linkName: Uint8Array; code?: string | undefined },
): Buffer {
  const header = Buffer.alloc(TAR_BLOCK_BYTES);
  Buffer.from(entry.name).copy(header, 0, 0, NAME_BYTES);
  putOctal(header, 100, { digits: 7, value: entry.mode & 0o7777 });
  putOctal(header, 108, { digits: 7, value: entry.uid });
  putOctal(header, 116, { digits: 7, value: entry.gid });
  putOctal(header, 124, { digits: 11, value: entry.size });
  putOctal(header, 136, { digits: 11, value: entry.mtime_s });
  header.write(entry.code ?? typeCodes[entry.type], 156, "latin1");
  Buffer.from(entry.linkName).copy(header, 157, 0, NAME_BYTES);
  header.write("ustar\u000000", 257, "latin1");
  putOctal(header, 329, { digits: 7, value: entry.major ?? 0 });
  putOctal(header, 337, { digits: 7, value: entry.minor ?? 0 });
  header.fill(0x20, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\u0000 `, 148, "latin1");
  return header;
}

/** Zero where the value does not fit: a PAX record says it then. */
function putOctal(header: Buffer, at: number, field: { digits: number; value: number }): void {
  const { digits, value } = field;
  const isHeld = value >= 0 && value < 8 ** digits;
  header.write((isHeld ? value : 0).toString(8).padStart(digits, "0"), at, "latin1");
}
