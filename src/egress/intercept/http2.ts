/** HTTP/2 between a machine and a server: every stream is a request of its own, with an authority of its own. */

import * as http2 from "node:http2";
import type { Duplex } from "node:stream";
import { type Body, codingsOf, decoded, encoded, searched } from "./body.ts";
import type { Exchanges, Headers } from "./exchange.ts";
import { Refused } from "./refused.ts";
import { write, writeAll } from "./write.ts";

const STREAMS_MAX = 100;
const HEADERS_MAX_BYTES = 64 * 1024;
const WINDOW_BYTES = 1024 * 1024;
const CLOSING_MAX_MS = 1000;
const SETTINGS: http2.Settings = {
  enablePush: false,
  maxConcurrentStreams: STREAMS_MAX,
  maxHeaderListSize: HEADERS_MAX_BYTES,
  initialWindowSize: WINDOW_BYTES,
};
/** They have no meaning in HTTP/2, and a server may refuse them. */
const HOP_HEADERS = [
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "host",
  "expect",
];

/** Of what was lost on the way, and not refused. */
const LOST_STATUS = 502;

const { NGHTTP2_NO_ERROR, NGHTTP2_REFUSED_STREAM } = http2.constants;

export async function serveHttp2(
  { guest, server, idle_max_ms }: { guest: Duplex; server: Duplex; idle_max_ms: number },
  exchanges: Exchanges,
): Promise<void> {
  const { host } = exchanges.connection;
  const upstream = http2.connect(`https://${host}`, {
    createConnection: () => server,
    settings: { ...SETTINGS, maxConcurrentStreams: 0 },
  });
  const listener = http2.createServer({ settings: SETTINGS });
  const closed = Promise.withResolvers<void>();
  let end = closed.resolve;
  const idle = new Idle(idle_max_ms, () => {
    end();
    // Of a machine that does not close its side.
    setTimeout(closed.resolve, CLOSING_MAX_MS).unref();
  });
  listener.on("session", (session) => {
    end = () => session.close();
    session.on("error", () => session.destroy());
    session.on("close", () => closed.resolve());
    upstream.on("goaway", () => session.close());
    upstream.on("close", () => session.close());
  });
  upstream.on("error", () => upstream.destroy());
  guest.once("close", () => closed.resolve());
  listener.on("stream", (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    stream.on("error", () => {});
    idle.begin();
    stream.once("close", () => idle.end());
    void serveStream({ stream, headers, upstream, exchanges });
  });
  listener.emit("connection", guest);
  try {
    await closed.promise;
  } finally {
    idle.stop();
    upstream.destroy();
    guest.destroy();
  }
}

/** Calls back once no stream has been open for so long. */
class Idle {
  readonly #max_ms: number;
  readonly #onIdle: () => void;
  #open = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(max_ms: number, onIdle: () => void) {
    this.#max_ms = max_ms;
    this.#onIdle = onIdle;
    this.#start();
  }

  begin(): void {
    this.#open++;
    clearTimeout(this.#timer);
  }

  end(): void {
    this.#open--;
    if (this.#open === 0) this.#start();
  }

  stop(): void {
    this.#open = Number.POSITIVE_INFINITY;
    clearTimeout(this.#timer);
  }

  #start(): void {
    this.#timer = setTimeout(this.#onIdle, this.#max_ms);
  }
}

interface Stream {
  stream: http2.ServerHttp2Stream;
  headers: http2.IncomingHttpHeaders;
  upstream: http2.ClientHttp2Session;
  exchanges: Exchanges;
}

interface Sides extends Pick<Stream, "stream" | "exchanges"> {
  request: http2.ClientHttp2Stream;
}

/** Never rejects. */
async function serveStream(work: Stream): Promise<void> {
  const { stream, exchanges } = work;
  let request: http2.ClientHttp2Stream | undefined;
  try {
    if (work.upstream.closed || work.upstream.destroyed)
      return stream.close(NGHTTP2_REFUSED_STREAM);
    request = await relay(work, (made) => {
      request = made;
    });
  } catch (error) {
    if (request) reset(request);
    const refused =
      error instanceof Refused
        ? error
        : new Refused(`the stream was lost: ${String(error)}`, { status: 502 });
    const { message: reason, secret } = refused;
    if (!stream.destroyed) exchanges.connection.log({ verdict: "deny", reason, secret });
    if (stream.destroyed || stream.headersSent) return reset(stream);
    stream.respond({ ":status": refused.status, "content-type": "text/plain; charset=utf-8" });
    stream.end(`banger: ${reason}\n`);
  }
}

async function relay(
  { stream, headers: came, upstream, exchanges }: Stream,
  onRequest: (request: http2.ClientHttp2Stream) => void,
): Promise<http2.ClientHttp2Stream> {
  const method = came[":method"] ?? "";
  const headers = pairsOf(came);
  const authority = came[":authority"] ?? came.host ?? "";
  // Two names for one request are read in two ways.
  if (came.host !== undefined && came.host !== authority) {
    throw new Refused("Host and :authority differ", { status: 421 });
  }
  const opened = await exchanges.open({ authority, method, path: came[":path"] ?? "", headers });
  const codings = codingsOf(came["content-encoding"]);
  const changes = opened.changesBody || codings.length > 0;
  const left = new Set([...HOP_HEADERS, ...(changes ? ["content-length"] : [])]);
  const request = upstream.request(
    {
      ":method": method,
      ":scheme": "https",
      ":authority": authority,
      ":path": opened.path,
      ...recordOf(opened.headers.filter(([name]) => !left.has(name))),
    },
    { endStream: false, waitForTrailers: true },
  );
  onRequest(request);
  const cancel = () => reset(request);
  request.on("error", () => {});
  stream.on("aborted", cancel);
  stream.once("close", () => {
    if (!stream.writableFinished) cancel();
  });
  sendTrailers({ stream, request, exchanges });
  const answered = answer(stream, request, exchanges);
  answered.catch(() => {});
  const body = encoded(searched(decoded(bodyOf(stream), codings), opened.bodyRules), codings);
  const sent = writeAll(request, body).then(
    () => request.end(),
    (error) => {
      // A server may answer before it has everything, and take no more: its answer is what counts.
      const isRefused = error instanceof Refused && error.status !== LOST_STATUS;
      if (isRefused || !(request.closed || request.destroyed)) throw error;
    },
  );
  // A refusal in the body ends the request before its answer.
  await Promise.race([answered, sent.then(() => answered)]);
  return request;
}

/** Of the request, behind its body; a secret in them ends it. */
function sendTrailers({ stream, request, exchanges }: Sides): void {
  let late: Headers = [];
  stream.on("trailers", (trailers: http2.IncomingHttpHeaders) => {
    late = pairsOf(trailers);
  });
  request.once("wantTrailers", () => {
    try {
      for (const [name, value] of late) {
        exchanges.refuseIn(name, "the name of a trailer");
        exchanges.refuseIn(value, `trailer ${name}`);
      }
      request.sendTrailers(recordOf(late));
    } catch (error) {
      const { message: reason, secret } = error as Refused;
      exchanges.connection.log({ verdict: "deny", reason, secret });
      reset(request);
    }
  });
}

async function answer(
  stream: http2.ServerHttp2Stream,
  request: http2.ClientHttp2Stream,
  exchanges: Exchanges,
): Promise<void> {
  const got = Promise.withResolvers<http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader>();
  let trailers: http2.IncomingHttpHeaders | undefined;
  request.on("response", got.resolve);
  request.on("trailers", (late: http2.IncomingHttpHeaders) => {
    trailers = late;
  });
  request.on("error", got.reject);
  request.on("close", () =>
    got.reject(new Refused("the server reset the stream", { status: 502 })),
  );
  const head = await got.promise;
  exchanges.refusePart(head[":status"]);
  const rules = exchanges.cleaning();
  const codings = codingsOf(head["content-encoding"]);
  const left = new Set([
    ...HOP_HEADERS,
    ...(codings.length > 0 ? ["content-encoding", "content-length"] : []),
  ]);
  const cleaned = exchanges.cleanHeaders(pairsOf(head), rules).filter(([name]) => !left.has(name));
  if (stream.destroyed) return;
  stream.respond(
    { ":status": head[":status"] ?? 502, ...recordOf(cleaned) },
    { waitForTrailers: true },
  );
  stream.once("wantTrailers", () => {
    const late = trailers ? exchanges.cleanHeaders(pairsOf(trailers), rules) : [];
    stream.sendTrailers(recordOf(late));
  });
  const { session } = request;
  // It counts as aborted also where the server has answered before it had everything.
  const isLost = () => session === undefined || session.destroyed;
  for await (const piece of searched(decoded(bodyOf(request, isLost), codings), rules))
    await write(stream, piece);
  stream.end();
}

/**
 * A refusal in the middle leaves the stream as it is: there may be an answer to give. A stream that was reset ends as
 * if all of it had come, and is told apart a moment later.
 */
async function* bodyOf(
  stream: http2.Http2Stream,
  isLost: () => boolean = () => stream.aborted,
): Body {
  const chunks: AsyncIterable<Buffer> = stream.iterator({ destroyOnReturn: false });
  yield* chunks;
  await new Promise((resolve) => setImmediate(resolve));
  if (isLost() || stream.rstCode !== NGHTTP2_NO_ERROR) throw new Error("the stream was reset");
}

/** Not `close`, which marks what was sent until then as all of it. */
function reset(stream: http2.Http2Stream): void {
  if (!stream.destroyed) stream.destroy(new Error("reset"));
}

/** Without the pseudo-headers. */
function pairsOf(headers: http2.IncomingHttpHeaders): Headers {
  return Object.entries(headers).flatMap(([name, value]) => {
    if (name.startsWith(":") || value === undefined) return [];
    const values = Array.isArray(value) ? value : [value];
    return values.map((each): [string, string] => [name, each]);
  });
}

function recordOf(headers: Headers): Record<string, string | string[]> {
  const record: Record<string, string | string[]> = {};
  for (const [name, value] of headers) {
    const before = record[name];
    record[name] = before === undefined ? value : [before, value].flat();
  }
  return record;
}
