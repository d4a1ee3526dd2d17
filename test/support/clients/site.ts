/**
 * The servers of the real clients' tests: `bun site.ts FOLDER CERT KEY VALUE` serves HTTPS (HTTP/2 and HTTP/1.1) on 443
 * and HTTP on 80, and prints "ready". FOLDER has static files and the repositories of /git. What is below /open, and
 * all that is served without TLS, is for everybody; the rest is for those who know VALUE, as a bearer token or a
 * password.
 */
import { createHash } from "node:crypto";
import { createReadStream, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createSecureServer, type Http2ServerRequest } from "node:http2";
import { join, normalize } from "node:path";
import { runBackend } from "./backend.ts";

type Request = IncomingMessage | Http2ServerRequest;

const [folder = "", cert = "", key = "", value = ""] = process.argv.slice(2);
const BIG_BYTES = 20_000_000;
const EVENTS = 5;
const POLL_MS = 3000;

const files = { cert: readFileSync(cert), key: readFileSync(key) };
const secure = createSecureServer({ ...files, allowHTTP1: true }, (request, response) => {
  serve(request, response as unknown as ServerResponse, true);
});
secure.on("session", (session) => session.on("error", () => {}));
const plain = createServer((request, response) => serve(request, response, false));
await Promise.all([
  new Promise<void>((resolve) => secure.listen(443, "0.0.0.0", resolve)),
  new Promise<void>((resolve) => plain.listen(80, "0.0.0.0", resolve)),
]);
console.log("ready");

function serve(request: Request, response: ServerResponse, isSecure: boolean): void {
  request.on("error", () => {});
  response.on("error", () => {});
  const { pathname, search } = new URL(request.url ?? "/", "https://shop.test");
  if (isSecure && !pathname.startsWith("/open/") && !isKnown(request)) {
    response.writeHead(401, { "www-authenticate": 'Basic realm="shop"', "content-length": "0" });
    response.end();
    return;
  }
  const path = pathname.replace(/^\/open\//, "/");
  if (path === "/echo") echo(request, response);
  else if (path === "/big") big(response);
  else if (path === "/events") void events(response);
  else if (path === "/poll") setTimeout(() => response.end("late\n"), POLL_MS);
  else if (path === "/early") early(response);
  else if (path === "/moved") moved(response);
  else if (path.startsWith("/git/")) runBackend({ request, response, folder, path, search });
  else if (request.method === "PUT") put(request, response, path);
  else static_(response, decodeURIComponent(path));
}

function isKnown({ headers: { authorization = "" } }: Request): boolean {
  const basic = /^basic (.*)$/i.exec(authorization)?.[1];
  const password = basic && Buffer.from(basic, "base64").toString().split(":")[1];
  return authorization === `Bearer ${value}` || password === value;
}

/** What came, without the value. */
function echo(request: Request, response: ServerResponse): void {
  const digest = createHash("sha256");
  let length = 0;
  request.on("data", (chunk: Buffer) => {
    digest.update(chunk);
    length += chunk.length;
  });
  request.on("end", () => {
    const { httpVersion: version, method, headers } = request;
    const how = headers["content-length"] === undefined ? "chunked" : "length";
    const trailers = { ...request.trailers };
    const body = JSON.stringify({
      version,
      method,
      length,
      how,
      trailers,
      sha256: digest.digest("hex"),
    });
    response.setHeader("trailer", "x-end");
    response.write(`${body}\n`);
    response.addTrailers({ "x-end": "of it" });
    response.end();
  });
}

function big(response: ServerResponse): void {
  response.writeHead(200, { "content-length": String(BIG_BYTES) });
  const piece = Buffer.alloc(100_000, "0123456789");
  let left = BIG_BYTES;
  const more = (): void => {
    while (left > 0) {
      left -= piece.length;
      if (!response.write(piece)) {
        response.once("drain", more);
        return;
      }
    }
    response.end();
  };
  more();
}

/** One after the other, which a client is to see as they come. */
async function events(response: ServerResponse): Promise<void> {
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (let count = 0; count < EVENTS; count++) {
    response.write(`data: ${count}\n\n`);
    await Bun.sleep(300);
  }
  response.end();
}

/** Answers before the body has come. */
function early(response: ServerResponse): void {
  response.writeHead(413, { "content-type": "text/plain" });
  response.end("too large\n");
}

function moved(response: ServerResponse): void {
  response.writeHead(302, { location: "https://evil.test/open/echo", "content-length": "0" });
  response.end();
}

/** Keeps it under its name, so that a test finds what was uploaded. */
function put(request: Request, response: ServerResponse, path: string): void {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    writeFileSync(join(folder, `put-${path.replaceAll("/", "-")}`), Buffer.concat(chunks));
    response.writeHead(201, { "content-type": "application/json" });
    response.end("{}");
  });
}

function static_(response: ServerResponse, path: string): void {
  const name = join(folder, normalize(path));
  const file = [name, join(name, "index.html"), join(name, "index.json")].find((each) =>
    statSync(each, { throwIfNoEntry: false })?.isFile(),
  );
  if (!file) {
    response.writeHead(404, { "content-length": "0" });
    response.end();
    return;
  }
  const type = file.endsWith(".html")
    ? "text/html"
    : file.endsWith(".json")
      ? "application/json"
      : "application/octet-stream";
  response.writeHead(200, {
    "content-type": type,
    "content-length": String(statSync(file).size),
  });
  createReadStream(file).pipe(response);
}
