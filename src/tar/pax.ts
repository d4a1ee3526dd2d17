/**
 * PAX extended headers: records "LENGTH KEY=VALUE\n" that override fields of the next entry, or of all following
 * ones. Values are bytes.
 * Source: POSIX.1-2017 pax ("pax Header Block").
 */
import { aclFromText } from "./acl.ts";
import { tarError, toInteger } from "./header.ts";
import type { SparsePart } from "./sparse.ts";

export interface TarXattr {
  /** Such as "security.capability", as bytes. */
  name: Uint8Array;
  value: Uint8Array;
}

export interface PaxFields {
  path?: Uint8Array;
  linkPath?: Uint8Array;
  size?: number;
  uid?: number;
  gid?: number;
  mtime?: { s: number; ns: number };
  xattrs?: Map<string, TarXattr>;
  sparse?: PaxSparse;
}

/** GNU.sparse.*: a map in the records (0.0, 0.1) or, with major 1, at the head of the data. */
export interface PaxSparse {
  major?: number;
  name?: Uint8Array;
  realSize?: number;
  parts: SparsePart[];
  /** An offset whose length is still to come (0.0). */
  offset?: number;
}

const XATTRS_MAX = 256;
const PARTS_MAX = 100_000;
const XATTR_PREFIX = "SCHILY.xattr.";
/** Lists as texts; one that is there as an attribute wins. */
const ACL_KEYS: Readonly<Record<string, string>> = {
  "SCHILY.acl.access": "system.posix_acl_access",
  "SCHILY.acl.default": "system.posix_acl_default",
};
const NUMBER_MAX_CHARACTERS = 40;

/** Adds the records of one header to `fields`. `isGlobal`: what names one entry is left out. */
export function parsePax(body: Uint8Array, fields: PaxFields, isGlobal = false): void {
  let at = 0;
  while (at < body.length) {
    const space = body.indexOf(0x20, at);
    const length = space < 0 ? Number.NaN : Number(ascii(body, at, Math.min(space, at + 10)));
    const end = at + length;
    const isWhole =
      Number.isInteger(length) && end <= body.length && end > space + 1 && body[end - 1] === 0x0a;
    const equals = isWhole ? body.indexOf(0x3d, space + 1) : -1;
    if (equals < 0 || equals >= end) throw tarError("an extended header is malformed");
    const key = body.subarray(space + 1, equals);
    apply(fields, key, { value: body.subarray(equals + 1, end - 1), isGlobal });
    at = end;
  }
}

function apply(
  fields: PaxFields,
  keyBytes: Uint8Array,
  record: { value: Uint8Array; isGlobal: boolean },
): void {
  const key = Buffer.from(keyBytes.buffer, keyBytes.byteOffset, keyBytes.length).toString("latin1");
  const { value } = record;
  if (key.startsWith(XATTR_PREFIX) && key.length > XATTR_PREFIX.length) {
    addXattr(fields, key, { name: keyBytes.slice(XATTR_PREFIX.length), value: value.slice() });
    return;
  }
  const aclName = ACL_KEYS[key];
  if (aclName) {
    addAcl(fields, aclName, value);
    return;
  }
  switch (key) {
    case "uid":
    case "gid":
      if (value.length === 0) delete fields[key];
      else fields[key] = parseInteger(value);
      return;
    case "mtime":
      if (value.length === 0) delete fields.mtime;
      else fields.mtime = parseTime(value);
      return;
  }
  if (record.isGlobal) return;
  switch (key) {
    case "path":
      if (value.length === 0) delete fields.path;
      else fields.path = value.slice();
      return;
    case "linkpath":
      if (value.length === 0) delete fields.linkPath;
      else fields.linkPath = value.slice();
      return;
    case "size":
      if (value.length === 0) delete fields.size;
      else fields.size = parseInteger(value);
      return;
  }
  if (key.startsWith("GNU.sparse.")) applySparse(fields, key, value);
}

function addXattr(fields: PaxFields, key: string, attribute: TarXattr): void {
  fields.xattrs ??= new Map();
  fields.xattrs.set(key, attribute);
  if (fields.xattrs.size > XATTRS_MAX) {
    throw tarError(`an entry has more than ${XATTRS_MAX} extended attributes`);
  }
}

function addAcl(fields: PaxFields, name: string, text: Uint8Array): void {
  const value = aclFromText(ascii(text, 0, text.length));
  if (!value || fields.xattrs?.has(XATTR_PREFIX + name)) return;
  addXattr(fields, XATTR_PREFIX + name, { name: Buffer.from(name), value });
}

function applySparse(fields: PaxFields, key: string, value: Uint8Array): void {
  fields.sparse ??= { parts: [] };
  const { sparse } = fields;
  switch (key) {
    case "GNU.sparse.major":
      sparse.major = parseInteger(value);
      return;
    case "GNU.sparse.name":
      sparse.name = value.slice();
      return;
    case "GNU.sparse.size":
    case "GNU.sparse.realsize":
      sparse.realSize = parseInteger(value);
      return;
    case "GNU.sparse.offset":
      sparse.offset = parseInteger(value);
      return;
    case "GNU.sparse.numbytes":
      if (sparse.offset === undefined) throw tarError("a sparse file's map is malformed");
      addPart(sparse.parts, { offset: sparse.offset, length: parseInteger(value) });
      delete sparse.offset;
      return;
    case "GNU.sparse.map": {
      const numbers = ascii(value, 0, value.length).split(",");
      if (numbers.length % 2 !== 0) throw tarError("a sparse file's map is malformed");
      for (let at = 0; at < numbers.length; at += 2) {
        const [offset, length] = [toInteger(numbers[at]), toInteger(numbers[at + 1])];
        addPart(sparse.parts, { offset, length });
      }
    }
  }
}

function addPart(parts: SparsePart[], part: SparsePart): void {
  if (parts.length >= PARTS_MAX) throw tarError(`a sparse file has more than ${PARTS_MAX} parts`);
  parts.push(part);
}

function parseInteger(value: Uint8Array): number {
  if (value.length > NUMBER_MAX_CHARACTERS) throw tarError("a number is too long");
  return toInteger(ascii(value, 0, value.length));
}

/** "-1.25" is 1.25 seconds before 1970: -2 s and 750,000,000 ns. Digits after the ninth are cut. */
function parseTime(value: Uint8Array): { s: number; ns: number } {
  const text = ascii(value, 0, Math.min(value.length, NUMBER_MAX_CHARACTERS));
  const match = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(text);
  if (!match) throw tarError(`"${text}" in an extended header is not a time`);
  const whole = Number(match[2]);
  const ns = Number((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  if (match[1] === "") return { s: whole, ns };
  if (ns === 0) return { s: whole === 0 ? 0 : -whole, ns };
  return { s: -whole - 1, ns: 1_000_000_000 - ns };
}

function ascii(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1");
}
