/**
 * A web server and a client for it, as programs: `bun net-http.ts serve PORT` says "hello", and at
 * /slow sends a byte at a time for two seconds, at /big 10 MB, at /bulk 128 MiB; takes any upload. /echo says what it was
 * sent, /digest the SHA-256 of its Authorization, /elsewhere redirects to what the query says.
 * `bun net-http.ts serve PORT CERTIFICATE KEY` does the same over TLS, with files in PEM.
 * `bun net-http.ts download URL [HOST]` prints "started" at the first byte, then "whole" or "cut".
 */
const [verb = "", target = "", more = "", key = ""] = process.argv.slice(2);
const BIG_BYTES = 10_000_000;
const BULK_BYTES = 128 * 1024 * 1024;
const FIRST_BYTE_MS = 120_000;
/** Without a byte, of which ten come in a second. */
const CUT_AFTER_MS = 3_000;

let bulk: Uint8Array<ArrayBuffer> | undefined;

if (verb === "serve") {
  Bun.serve({
    hostname: "0.0.0.0",
    port: Number(target),
    idleTimeout: 60,
    ...(more ? { tls: { cert: Bun.file(more), key: Bun.file(key) } } : {}),
    maxRequestBodySize: 2 * BULK_BYTES,
    fetch: async (request) => {
      const { url, body, headers } = request;
      const { pathname, searchParams } = new URL(url);
      if (pathname === "/echo") return new Response(await echo(request));
      if (pathname === "/digest") return new Response(hash(headers.get("authorization") ?? ""));
      if (pathname === "/elsewhere") return Response.redirect(searchParams.get("to") ?? "", 302);
      if (body) for await (const _ of body);
      if (url.endsWith("/bulk")) {
        bulk ??= new Uint8Array(BULK_BYTES);
        return new Response(bulk);
      }
      if (url.endsWith("/big")) return new Response(new Uint8Array(BIG_BYTES));
      return url.endsWith("/slow") ? new Response(slowly()) : new Response("hello\n");
    },
  });
  console.log("ready");
} else {
  await download(target);
}

async function echo(request: Request): Promise<string> {
  const plain = `${request.url}\n${JSON.stringify(request.headers)}`;
  return `${plain}\n${btoa(plain)}\n${await request.text()}\n`;
}

function hash(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text).digest("hex");
}

function slowly(): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async start(controller) {
      for (let count = 0; count < 20; count++) {
        controller.enqueue(new Uint8Array(1));
        await Bun.sleep(100);
      }
      controller.close();
    },
  });
}

async function download(url: string): Promise<void> {
  let isStarted = false;
  try {
    const abort = new AbortController();
    let timer = setTimeout(() => abort.abort(), FIRST_BYTE_MS);
    const { body, status } = await fetch(url, {
      signal: abort.signal,
      ...(more ? { headers: { Host: more } } : {}),
    });
    if (status !== 200) throw new Error(`status ${status}`);
    for await (const _ of body ?? []) {
      clearTimeout(timer);
      timer = setTimeout(() => abort.abort(), CUT_AFTER_MS);
      if (!isStarted) console.log("started");
      isStarted = true;
    }
    clearTimeout(timer);
    console.log("whole");
  } catch {
    console.log("cut");
  }
}
