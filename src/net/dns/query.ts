/**
 * Parses a guest's DNS query (RFC 1035 section 4.1, EDNS by RFC 6891). Separate from the library that parses answers,
 * because the upstream query is rebuilt from these bytes.
 */
import { decode, type OptAnswer } from "dns-packet";

/** Longer messages are not read: a question with all its options fits many times. */
export const MAX_QUERY_BYTES = 4096;
export const HEADER_BYTES = 12;
const MAX_NAME_BYTES = 255;
const MAX_LABEL_BYTES = 63;
const MIN_UDP_BYTES = 512;
/** What passes any path without being split (RFC 9715). */
const MAX_UDP_BYTES = 1232;

export const Rcode = {
  ok: 0,
  formatError: 1,
  serverFailure: 2,
  noSuchName: 3,
  notImplemented: 4,
  refused: 5,
} as const;

export const RecordType = {
  ...{ A: 1, SOA: 6, PTR: 12, AAAA: 28, SVCB: 64, HTTPS: 65 },
  ...{ IXFR: 251, AXFR: 252, ANY: 255 },
};
export const CLASS_IN = 1;

const FLAG_RESPONSE = 0x8000;
const FLAG_RECURSION_DESIRED = 0x0100;
const FLAG_CHECKING_DISABLED = 0x0010;

export interface Edns {
  version: number;
  isDnssecOk: boolean;
}

export interface Query {
  id: number;
  isRecursionDesired: boolean;
  isCheckingDisabled: boolean;
  /** Lower case, without the last dot; bytes other than letters, digits, "-" and "_" as "\ddd". */
  name: string;
  type: number;
  class: number;
  /** Name, type and class as they were sent. */
  question: Buffer;
  edns: Edns | undefined;
  /** The longest answer that the client takes over UDP. */
  udpMax_bytes: number;
}

/** What cannot be answered in earnest is answered with `rcode`. */
export interface BadQuery {
  id: number;
  rcode: number;
}

/** Undefined for what deserves no answer: no header, or an answer itself. */
export function parseQuery(message: Buffer): Query | BadQuery | undefined {
  if (message.length < HEADER_BYTES) return undefined;
  const id = message.readUInt16BE(0);
  const flags = message.readUInt16BE(2);
  if ((flags & FLAG_RESPONSE) !== 0) return undefined;
  if (message.length > MAX_QUERY_BYTES) return { id, rcode: Rcode.formatError };
  if (((flags >> 11) & 15) !== 0) return { id, rcode: Rcode.notImplemented };
  const counts = [4, 6, 8].map((at) => message.readUInt16BE(at));
  if (counts[0] !== 1 || counts[1] !== 0 || counts[2] !== 0) {
    return { id, rcode: Rcode.formatError };
  }
  const name = readName(message, HEADER_BYTES);
  if (!name || name.end + 4 > message.length) return { id, rcode: Rcode.formatError };
  const opt = readOpt(message);
  if (opt === "malformed") return { id, rcode: Rcode.formatError };
  return {
    id,
    isRecursionDesired: (flags & FLAG_RECURSION_DESIRED) !== 0,
    isCheckingDisabled: (flags & FLAG_CHECKING_DISABLED) !== 0,
    name: name.text,
    type: message.readUInt16BE(name.end),
    class: message.readUInt16BE(name.end + 2),
    question: message.subarray(HEADER_BYTES, name.end + 4),
    edns: opt && { version: opt.ednsVersion, isDnssecOk: opt.flag_do },
    udpMax_bytes: Math.min(Math.max(opt?.udpPayloadSize ?? 0, MIN_UDP_BYTES), MAX_UDP_BYTES),
  };
}

/** A new message with the same question, so that nothing else that a guest wrote goes upstream. */
export function encodeQuery(query: Query, id: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  const checking = query.isCheckingDisabled ? FLAG_CHECKING_DISABLED : 0;
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE(FLAG_RECURSION_DESIRED | checking, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(query.edns ? 1 : 0, 10);
  const parts = [header, query.question];
  if (query.edns) parts.push(encodeOpt({ isDnssecOk: query.edns.isDnssecOk }));
  return Buffer.concat(parts);
}

/** An OPT record (RFC 6891 section 6.1.2) with the size that we take. */
export function encodeOpt(opt: {
  isDnssecOk: boolean;
  /** The upper eight bits of the response code. */
  rcodeHigh?: number;
  options?: Buffer;
}): Buffer {
  const options = opt.options ?? Buffer.alloc(0);
  const record = Buffer.alloc(11);
  record.writeUInt16BE(41, 1);
  record.writeUInt16BE(MAX_UDP_BYTES, 3);
  record.writeUInt8(opt.rcodeHigh ?? 0, 5);
  record.writeUInt16BE(opt.isDnssecOk ? 0x8000 : 0, 7);
  record.writeUInt16BE(options.length, 9);
  return Buffer.concat([record, options]);
}

/** Pointers have no place in a question that comes first. */
function readName(message: Buffer, start: number): { text: string; end: number } | undefined {
  const labels: string[] = [];
  let at = start;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > MAX_LABEL_BYTES) return undefined;
    at += 1 + length;
    if (at - start > MAX_NAME_BYTES || at > message.length) return undefined;
    if (length === 0) return { text: labels.join("."), end: at };
    labels.push(labelText(message.subarray(at - length, at)));
  }
}

function labelText(label: Buffer): string {
  return Array.from(label, (byte) => {
    const character = String.fromCharCode(byte);
    if (/[A-Za-z0-9_-]/.test(character)) return character.toLowerCase();
    return `\\${String(byte).padStart(3, "0")}`;
  }).join("");
}

function readOpt(message: Buffer): OptAnswer | undefined | "malformed" {
  if (message.readUInt16BE(10) === 0) return undefined;
  try {
    const { additionals = [] } = decode(message);
    return additionals.find((record): record is OptAnswer => record.type === "OPT");
  } catch {
    return "malformed";
  }
}
