/** HTTP/1.1 between a machine and a server: one request after the other, each with its answer. */
import type { Duplex } from "node:stream";
import { codingsOf, collected, decoded, encoded, searched } from "#egress/intercept/body.ts";
import type { Exchange, Exchanges, Headers } from "#egress/intercept/exchange.ts";
import { Refused } from "#egress/intercept/refused.ts";
import { serveWebSocket } from "#egress/intercept/websocket.ts";
import { write, writeAll } from "#egress/intercept/write.ts";
import {
  asChunks,
  bodyOf,
  formatHead,
  HEAD_MAX_BYTES,
  hostOf,
  listOf,
  parseRequest,
  parseResponse,
  type RequestHead,
  type ResponseHead,
  requestFraming,
  responseFraming,
  valuesOf,
} from "./message.ts";
import { ByteReader } from "./reader.ts";

/** A body that changes is sent with its length up to here, and in chunks beyond. */
const KEPT_BODY_MAX_BYTES = 1024 * 1024;
const INTERIM_ANSWERS_MAX = 16;
const REASON_MAX_LENGTH = 100;
/** They are about one connection, and not about the message. */
const HOP_HEADERS = [
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "upgrade",
  "expect",
];
const LENGTH_HEADERS = ["content-length", "transfer-encoding"];

interface Sides {
  guest: Duplex;
  server: Duplex;
  fromGuest: ByteReader;
  fromServer: ByteReader;
}

export async function serveHttp1(
  { guest, server, idle_max_ms }: Pick<Sides, "guest" | "server"> & { idle_max_ms: number },
  exchanges: Exchanges,
): Promise<void> {
  const sides = {
    guest,
    server,
    fromGuest: new ByteReader(guest),
    fromServer: new ByteReader(server),
  };
  for (;;) {
    const state = { hasAnswered: false };
    try {
      const head = await headInTime(sides.fromGuest, idle_max_ms);
      if (head === undefined || !(await exchange(parseRequest(head), { sides, exchanges, state })))
        break;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      const { message: reason, secret } = error;
      exchanges.connection.log({ verdict: "deny", reason, secret });
      // Nothing more of this request may go out.
      server.destroy();
      if (!state.hasAnswered) await write(guest, refusalOf(error));
      break;
    }
  }
  guest.end();
  server.end();
}

/** Undefined at the end of the connection, and where no whole head has come: neither bytes nor drops of them. */
async function headInTime(reader: ByteReader, max_ms: number): Promise<string | undefined> {
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => late.resolve(undefined), max_ms);
  const head = reader.head(HEAD_MAX_BYTES);
  head.catch(() => {});
  try {
    return await Promise.race([head, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

export function refusalOf({ status, message }: Refused): Buffer {
  const body = `banger: ${message}\n`;
  const headers: Headers = [
    ["content-type", "text/plain; charset=utf-8"],
    ["content-length", String(Buffer.byteLength(body))],
    ["connection", "close"],
  ];
  const reason = {
    400: "Bad Request",
    403: "Forbidden",
    421: "Misdirected Request",
    502: "Bad Gateway",
  }[status];
  return Buffer.concat([
    formatHead(`HTTP/1.1 ${status} ${reason ?? "Refused"}`, headers),
    Buffer.from(body),
  ]);
}

interface Work {
  sides: Sides;
  exchanges: Exchanges;
  state: { hasAnswered: boolean };
}

/** Whether the connection goes on. */
async function exchange(request: RequestHead, work: Work): Promise<boolean> {
  const { sides, exchanges, state } = work;
  const { method, target: path, headers } = request;
  const framing = requestFraming(request);
  const opened = await exchanges.open({ authority: hostOf(request), method, path, headers });
  const isUpgrade = upgradeOf(request);
  if (listOf(headers, "expect").includes("100-continue")) {
    await write(sides.guest, Buffer.from("HTTP/1.1 100 Continue\r\n\r\n"));
  }
  const sending = send(request, opened, { ...work, framing, isUpgrade });
  const answering = answer(request, { ...work, isUpgrade });
  // Whichever refuses ends the other: the server's connection is destroyed then.
  const stop = (error: unknown): never => {
    sides.server.destroy();
    throw error;
  };
  sending.catch(() => sides.server.destroy());
  const [sent, answered] = await Promise.allSettled([sending, answering.catch(stop)]);
  if (sent.status === "rejected" && sent.reason instanceof Refused && sent.reason.status !== 502)
    throw sent.reason;
  if (answered.status === "rejected") throw answered.reason;
  if (sent.status === "rejected") throw sent.reason;
  if (answered.value === "upgraded") {
    await serveWebSocket(sides, exchanges);
    return false;
  }
  state.hasAnswered = false;
  const isLast = request.isOld || listOf(headers, "connection").includes("close");
  return answered.value === "open" && !isLast;
}

/** A server that speaks something else afterwards could not be searched. */
function upgradeOf({ method, headers }: RequestHead): boolean {
  const wanted = listOf(headers, "connection").includes("upgrade")
    ? listOf(headers, "upgrade")
    : [];
  if (wanted.length === 0) return false;
  if (wanted.length === 1 && wanted[0] === "websocket" && method === "GET") return true;
  // A client has to live with a server that does not care for its wish.
  return false;
}

async function send(
  { method, headers: came }: RequestHead,
  { path, headers, bodyRules, changesBody }: Exchange,
  {
    sides,
    framing,
    isUpgrade,
  }: Work & { framing: ReturnType<typeof requestFraming>; isUpgrade: boolean },
): Promise<void> {
  const { server, fromGuest } = sides;
  const raw = bodyOf(fromGuest, framing);
  const codings = codingsOf(valuesOf(came, "content-encoding").join(","));
  const kept = without(headers, [...hopHeaders(headers), ...LENGTH_HEADERS]);
  if (isUpgrade) {
    const plain = without(kept, ["sec-websocket-extensions"]);
    const upgrade: Headers = [
      ["connection", "Upgrade"],
      ["upgrade", "websocket"],
    ];
    await write(server, formatHead(`${method} ${path} HTTP/1.1`, [...plain, ...upgrade]));
    return;
  }
  const head = (own: Headers) => formatHead(`${method} ${path} HTTP/1.1`, [...kept, ...own]);
  const hasNone = framing.kind === "length" && framing.length === 0;
  if (hasNone) {
    const length = valuesOf(came, "content-length").map((value): [string, string] => [
      "content-length",
      value,
    ]);
    return await write(server, head(length));
  }
  const body = encoded(searched(decoded(raw, codings), bodyRules), codings);
  const isSameLength = framing.kind === "length" && codings.length === 0 && !changesBody;
  if (isSameLength) {
    await write(server, head([["content-length", String(framing.length)]]));
    return await writeAll(server, body);
  }
  const small =
    framing.kind === "length" ? await collected(body, KEPT_BODY_MAX_BYTES) : { rest: body };
  if ("all" in small) {
    await write(server, head([["content-length", String(small.all.length)]]));
    return await write(server, small.all);
  }
  await write(server, head([["transfer-encoding", "chunked"]]));
  await writeAll(server, asChunks(small.rest));
}

async function answer(
  request: RequestHead,
  { sides, exchanges, state, isUpgrade }: Work & { isUpgrade: boolean },
): Promise<"open" | "closed" | "upgraded"> {
  const { guest, fromServer } = sides;
  const response = await finalAnswer(fromServer);
  exchanges.refusePart(response.status);
  const rules = exchanges.cleaning();
  const hop = hopHeaders(response.headers);
  const cleaned = exchanges.cleanHeaders(response.headers, rules);
  const reason = exchanges.cleanText(response.reason, rules).slice(0, REASON_MAX_LENGTH);
  const first = `HTTP/1.1 ${response.status} ${reason}`;
  if (response.status === 101) {
    if (!isUpgrade) throw new Refused("the server changed the protocol unasked", { status: 502 });
    state.hasAnswered = true;
    const headers = without(cleaned, ["sec-websocket-extensions"]);
    await write(guest, formatHead(first, headers));
    return "upgraded";
  }
  const framing = responseFraming(response, request.method);
  const codings = codingsOf(valuesOf(response.headers, "content-encoding").join(","));
  const hasNone = framing.kind === "length" && framing.length === 0;
  const kept = without(cleaned, [...hop, ...LENGTH_HEADERS]);
  const isClosed = framing.kind === "close" || response.isOld || hop.includes("close");
  const closing: Headers = isClosed || request.isOld ? [["connection", "close"]] : [];
  state.hasAnswered = true;
  if (hasNone) {
    // Of HEAD it is the length that GET would have.
    const length = cleaned.filter(([name]) => name === "content-length");
    await write(guest, formatHead(first, [...kept, ...length, ...closing]));
    return isClosed ? "closed" : "open";
  }
  const body = searched(decoded(bodyOf(fromServer, framing), codings), rules);
  const plain = codings.length > 0 ? without(kept, ["content-encoding"]) : kept;
  // Asterisks take the place of a value one for one.
  const isSameLength = framing.kind === "length" && codings.length === 0;
  if (isSameLength) {
    const length: Headers = [["content-length", String(framing.length)]];
    await write(guest, formatHead(first, [...plain, ...length, ...closing]));
    await writeAll(guest, body);
  } else if (request.isOld) {
    await write(guest, formatHead(first, [...plain, ...closing]));
    await writeAll(guest, body);
  } else {
    await write(guest, formatHead(first, [...plain, ["transfer-encoding", "chunked"], ...closing]));
    await writeAll(guest, asChunks(body));
  }
  return isClosed ? "closed" : "open";
}

async function finalAnswer(reader: ByteReader): Promise<ResponseHead> {
  for (let count = 0; count < INTERIM_ANSWERS_MAX; count++) {
    const head = await reader.head(HEAD_MAX_BYTES);
    if (head === undefined) throw new Refused("the server closed the connection", { status: 502 });
    const response = parseResponse(head);
    if (response.status >= 200 || response.status === 101) return response;
  }
  throw new Refused("too many interim answers of the server", { status: 502 });
}

/** With those that the message itself names. */
function hopHeaders(headers: Headers): string[] {
  return [...HOP_HEADERS, ...listOf(headers, "connection")];
}

function without(headers: Headers, names: readonly string[]): Headers {
  const left = new Set(names);
  return headers.filter(([name]) => !left.has(name));
}
