/**
 * A server that tells what it was sent: `bun echo-https.ts ADDRESS CERT KEY`, over HTTP/1.1 and HTTP/2. Prints "ready".
 * The header is in its answer as it is, and as a digest, which says what it was also where the header is covered.
 */
import { readFileSync } from "node:fs";
import { createSecureServer } from "node:http2";
import { hexOf, sha256 } from "#base/digest.ts";

const [address = "", cert = "", key = ""] = process.argv.slice(2);
const files = { cert: readFileSync(cert), key: readFileSync(key) };
const server = createSecureServer({ ...files, allowHTTP1: true }, (request, response) => {
  const { authorization = "" } = request.headers;
  const digest = hexOf(sha256(authorization));
  response.end(`${request.httpVersion} ${digest} ${authorization}\n`);
});
server.listen(443, address, () => console.log("ready"));
