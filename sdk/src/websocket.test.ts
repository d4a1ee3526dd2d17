import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dialUnix } from "./websocket.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-ws-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What the server says first, or "closed". */
function greeting(socket: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const web = dialUnix(socket, { path: "/v1/exec", protocol: "test" });
  web.onmessage = ({ data }) => {
    resolve(String(data));
    web.close();
  };
  web.onclose = () => resolve("closed");
  return promise;
}

test("dialUnix() reaches a socket whatever the folder is called", async () => {
  const names = ["plain", "John Doe", "josé", "o'brien", '"', "50%", "%20", "#", "?", ":", "日本"];
  for (const name of [...names, "a\\b", "a$b&c;d", "new\nline", "[x]", "{y}", "~", "`z`"]) {
    mkdirSync(join(folder, name));
    const socket = join(folder, name, "daemon.sock");
    await using _server = Bun.serve({
      unix: socket,
      fetch(request, server) {
        const { pathname } = new URL(request.url);
        return server.upgrade(request, { data: { pathname } }) ? undefined : new Response("no");
      },
      websocket: {
        data: {} as { pathname: string },
        open: (web) => void web.send(`${name} ${web.data.pathname}`),
        message() {},
      },
    });
    expect(await greeting(socket)).toBe(`${name} /v1/exec`);
  }
});

test("dialUnix() closes what nobody answers at, and keeps nothing open", async () => {
  const before = readdirSync("/proc/self/fd").length;
  for (let round = 0; round < 20; round++) {
    expect(await greeting(join(folder, "no such folder", "daemon.sock"))).toBe("closed");
    expect(await greeting(folder)).toBe("closed");
  }
  expect(readdirSync("/proc/self/fd").length).toBeLessThan(before + 10);
});
