/** Builds DNS responses: the client's question with records, an error, or an upstream answer. */
import { type Answer, encode } from "dns-packet";
import { type BadQuery, encodeOpt, HEADER_BYTES, type Query, Rcode } from "./query.ts";

const FLAGS = { response: 0x8000, authoritative: 0x0400, truncated: 0x0200, available: 0x0080 };
const FLAG_RECURSION_DESIRED = 0x0100;
/** Extended DNS Errors (RFC 8914): option 15, "Filtered" is 17. */
const OPTION_EXTENDED_ERROR = 15;
const BAD_VERSION_HIGH = 1;

export interface Reply {
  rcode: number;
  answers?: Answer[];
  authorities?: Answer[];
  isAuthoritative?: boolean;
  /** Said to clients that know EDNS. */
  filtered?: string;
}

/** `udp` cuts the answer down to what the client takes; it will ask again over TCP. */
export function encodeReply(query: Query, reply: Reply, options: { udp: boolean }): Buffer {
  const { answers = [], authorities = [] } = reply;
  // Names are written out in full, so that the question can be put in front.
  const records = encode({ type: "response", answers, authorities }).subarray(HEADER_BYTES);
  const tail = optFor(query, reply);
  const message = Buffer.concat([
    header(query, reply, [answers.length, authorities.length, tail.length > 0 ? 1 : 0]),
    query.question,
    records,
    tail,
  ]);
  return options.udp && message.length > query.udpMax_bytes ? encodeTruncated(query) : message;
}

/** The answer to what could not be read as a question: a header only. */
export function encodeBadReply({ id, rcode }: BadQuery): Buffer {
  const message = Buffer.alloc(HEADER_BYTES);
  message.writeUInt16BE(id, 0);
  message.writeUInt16BE(FLAGS.response | FLAGS.available | rcode, 2);
  return message;
}

/** EDNS of a version that there is not yet (RFC 6891 section 6.1.3). */
export function encodeBadVersion(query: Query): Buffer {
  const opt = encodeOpt({ isDnssecOk: false, rcodeHigh: BAD_VERSION_HIGH });
  return Buffer.concat([header(query, { rcode: Rcode.ok }, [0, 0, 1]), query.question, opt]);
}

/** What came from upstream, under the number that the client gave its question. */
export function relayReply(query: Query, message: Buffer, options: { udp: boolean }): Buffer {
  if (options.udp && message.length > query.udpMax_bytes) return encodeTruncated(query);
  const copy = Buffer.from(message);
  copy.writeUInt16BE(query.id, 0);
  return copy;
}

function encodeTruncated(query: Query): Buffer {
  const opt = optFor(query, { rcode: Rcode.ok });
  const head = header(query, { rcode: Rcode.ok }, [0, 0, opt.length > 0 ? 1 : 0]);
  head.writeUInt16BE(head.readUInt16BE(2) | FLAGS.truncated, 2);
  return Buffer.concat([head, query.question, opt]);
}

function header(query: Query, reply: Reply, counts: readonly [number, number, number]): Buffer {
  const message = Buffer.alloc(HEADER_BYTES);
  const authoritative = reply.isAuthoritative ? FLAGS.authoritative : 0;
  const desired = query.isRecursionDesired ? FLAG_RECURSION_DESIRED : 0;
  message.writeUInt16BE(query.id, 0);
  const flags = FLAGS.response | FLAGS.available | authoritative | desired | reply.rcode;
  message.writeUInt16BE(flags, 2);
  message.writeUInt16BE(1, 4);
  for (const [index, count] of counts.entries()) message.writeUInt16BE(count, 6 + 2 * index);
  return message;
}

function optFor(query: Query, { filtered }: Reply): Buffer {
  if (!query.edns) return Buffer.alloc(0);
  const { isDnssecOk } = query.edns;
  return encodeOpt({ isDnssecOk, options: filtered ? extendedError(filtered) : undefined });
}

function extendedError(text: string): Buffer {
  const data = Buffer.from(text);
  const head = Buffer.alloc(6);
  head.writeUInt16BE(OPTION_EXTENDED_ERROR, 0);
  head.writeUInt16BE(2 + data.length, 2);
  head.writeUInt16BE(17, 4);
  return Buffer.concat([head, data]);
}
