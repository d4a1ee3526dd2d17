/** ADD of addresses, case by case, from a server on loopback. */
import { afterAll, expect } from "bun:test";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { sha256 } from "#base/digest.ts";
import { testBuilds } from "#test/build-cases.ts";
import { file, makeTar } from "#test/tar-build.ts";

const TAR = gzipSync(makeTar([file("inner", "in", { uid: 3, mode: 0o640 })]));
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/none") return new Response("", { status: 404 });
    const headers = { "last-modified": "Thu, 01 Jan 1970 00:01:40 GMT" };
    return new Response(pathname.endsWith(".tgz") ? TAR : "content", { headers });
  },
});
/** Cuts the first answer for each path in the middle. */
const CUT = Buffer.from("one two three four five six seven eight nine ten ".repeat(20_000));
const cutter = createServer((request, response) => {
  const path = request.url ?? "";
  const isFirst = !seen.has(path);
  seen.add(path);
  const offset = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
  const isSame = request.headers["if-range"] === '"1"';
  if (path.includes("tagged")) response.setHeader("etag", isFirst || isSame ? '"1"' : '"2"');
  const bytes = path.includes("changed") && !isFirst ? Buffer.from(CUT).fill("x", 0, 9) : CUT;
  const start = isSame ? offset : 0;
  if (start > 0) {
    const range = `bytes ${start}-${bytes.length - 1}/${bytes.length}`;
    response.writeHead(206, { "content-range": range }).end(bytes.subarray(start));
    return;
  }
  response.writeHead(200, { "content-length": bytes.length });
  if (!isFirst) response.end(bytes);
  else response.write(bytes.subarray(0, 500_000), () => setTimeout(() => response.destroy(), 20));
});
const seen = new Set<string>();
await new Promise<void>((resolve) => cutter.listen(0, "127.0.0.1", resolve));
const CUT_AT = `http://127.0.0.1:${(cutter.address() as AddressInfo).port}`;
afterAll(() => {
  server.stop(true);
  cutter.close();
});
const AT = `http://127.0.0.1:${server.port}`;

testBuilds({
  "a file is called as the end of its address, and has its time": {
    dockerfile: `ADD ${AT}/a/foo.txt?x=1 /d/\nADD ${AT}/foo /e/new\nADD ${AT}/ ${AT}/%2e%2e /f/`,
    files: {
      "/d": "755 0:0 dir",
      "/d/foo.txt": "600 0:0 = content",
      "/e": "dir",
      "/e/new": "= content",
      "/f": "dir",
      "/f/__unnamed__": "= content",
    },
    check: (reader) => expect(reader.stat("/d/foo.txt").mtime_s).toBe(100),
  },
  "owner and mode are those of the flags": {
    dockerfile: `ARG m=0413\nADD --chmod=$m --chown=5:6 ${AT}/foo /d/foo\nADD --chmod=go+r ${AT}/foo /`,
    files: { "/d": "413 5:6 dir", "/d/foo": "413 5:6 = content", "/foo": "644 0:0 = content" },
  },
  "an archive is unpacked with --unpack only": {
    dockerfile: `ADD ${AT}/t.tgz /a/\nADD --unpack=true ${AT}/t.tgz /b\nADD ${AT}/t.tgz /new.tgz`,
    has: { "/b/inner": "640 3:0 = in", "/a/inner": "absent" },
    check: (reader) => {
      expect(reader.stat("/a/t.tgz").size).toBe(TAR.length);
      expect(reader.stat("/new.tgz").size).toBe(TAR.length);
    },
  },
  "--checksum with a variable": {
    dockerfile: `ENV sum=${sha256("content")} at=${AT}/foo\nADD --checksum=$sum $at /`,
    files: { "/foo": "= content" },
  },
  "--checksum of something else": {
    dockerfile: `ADD --checksum=${sha256("")} ${AT}/foo /`,
    error: "checksum mismatch",
  },
  "--checksum of another kind": {
    dockerfile: `ADD --checksum=md5:7e55db001d319a94b0b713529a756623 ${AT}/foo /`,
    error: 'invalid value for --checksum: "md5:7e55db001d319a94b0b713529a756623"',
    hint: "sha256:",
  },
  "--checksum without its kind": {
    dockerfile: `ADD --checksum=${sha256("content").slice(7)} ${AT}/foo /`,
    error: "invalid value for --checksum",
  },
  "--checksum of several": {
    dockerfile: `ADD --checksum=${sha256("content")} ${AT}/foo ${AT}/bar /d/`,
    error: "--checksum requires a single source",
  },
  "several files need a directory": {
    dockerfile: `ADD ${AT}/foo ${AT}/bar /d`,
    error: 'with more than one source, the target must be a directory and end with "/"',
  },
  "a file that is cut goes on, by its tag or by what came before": {
    dockerfile: `ADD --checksum=${sha256(CUT)} ${CUT_AT}/tagged /\nADD --checksum=${sha256(CUT)} ${CUT_AT}/plain /`,
    has: { "/tagged": `= ${CUT}`, "/plain": `= ${CUT}` },
  },
  "a file that changes between two requests": {
    dockerfile: `ADD ${CUT_AT}/changed /`,
    error: "file changed during the download",
  },
  "what is not there": { dockerfile: `ADD ${AT}/none /`, error: "responded with 404" },
});
