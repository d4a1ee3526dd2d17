/** git's own HTTP server, by CGI. */

import { spawn } from "node:child_process";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest } from "node:http2";

const HEAD_END = "\r\n\r\n";

export interface BackendOptions {
  request: IncomingMessage | Http2ServerRequest;
  response: ServerResponse;
  /** The repositories are below its directory "git". */
  folder: string;
  path: string;
  search: string;
}

export function runBackend({ request, response, folder, path, search }: BackendOptions): void {
  const { headers, method = "GET" } = request;
  const child = spawn("git", ["http-backend"], {
    env: {
      PATH: process.env["PATH"],
      GIT_PROJECT_ROOT: folder,
      GIT_HTTP_EXPORT_ALL: "1",
      REMOTE_USER: "me",
      REQUEST_METHOD: method,
      PATH_INFO: path,
      QUERY_STRING: search.slice(1),
      CONTENT_TYPE: headers["content-type"] ?? "",
      HTTP_CONTENT_ENCODING: headers["content-encoding"] ?? "",
      GIT_PROTOCOL: String(headers["git-protocol"] ?? ""),
      ...(headers["content-length"] ? { CONTENT_LENGTH: headers["content-length"] } : {}),
    },
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.on("error", () => {});
  request.pipe(child.stdin);
  let head = Buffer.alloc(0);
  let isStarted = false;
  child.stdout.on("data", (chunk: Buffer) => {
    if (isStarted) {
      response.write(chunk);
      return;
    }
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf(HEAD_END);
    if (end < 0) return;
    isStarted = true;
    const lines = head.toString("latin1", 0, end).split("\r\n");
    const pairs = lines.map((line) => line.split(/: */, 2) as [string, string]);
    const status = pairs.find(([name]) => name.toLowerCase() === "status")?.[1] ?? "200";
    const others = pairs.filter(([name]) => name.toLowerCase() !== "status");
    response.writeHead(Number.parseInt(status, 10), Object.fromEntries(others));
    response.write(head.subarray(end + HEAD_END.length));
  });
  child.stdout.on("end", () => response.end());
}
