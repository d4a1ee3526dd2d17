import { afterAll, beforeAll, expect, test } from "bun:test";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { bangerErrorOf } from "#test/expect-error.ts";
import { type LocalDaemon, startLocalDaemon } from "#test/local-daemon.ts";
import { Banger } from "./banger.ts";
import { defaultSocket } from "./connection.ts";
import { Machine } from "./machine/machine.ts";

let daemon: LocalDaemon;
beforeAll(async () => {
  daemon = await startLocalDaemon();
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
});

test("the daemon's socket is where the daemon makes it", () => {
  expect(defaultSocket(daemon.env)).toBe(daemon.socket);
  expect(defaultSocket({ HOME: "/home/u" })).toBe("/home/u/.local/state/banger/run/daemon.sock");
  expect(defaultSocket({ HOME: "/home/u", XDG_STATE_HOME: "/s", XDG_RUNTIME_DIR: "run" })).toBe(
    "/s/banger/run/daemon.sock",
  );
});

test("an address that nobody answers at, or that is none, is an error with what to do", async () => {
  const refused = await bangerErrorOf(Machine.list({ url: "http://127.0.0.1:1" }));
  expect(refused).toMatchObject({ code: "unavailable", hint: "Serve the API with: banger serve" });
  const missing = await bangerErrorOf(Machine.list({ socket: `${daemon.folder}/none.sock` }));
  expect(missing).toMatchObject({ code: "unavailable" });
  expect(() => new Banger({ url: "ftp://x" })).toThrow('invalid URL "ftp://x"');
});

test("a command gives its output, its status and the signal that ended it", async () => {
  const vm = await Machine.get("testbox", daemon);
  expect(await vm.exec(["cat"], { stdin: "in" })).toEqual({
    exitCode: 0,
    signal: undefined,
    stdout: "in",
    stderr: "",
  });
  expect(await vm.shell("echo e >&2; exit 3")).toMatchObject({ exitCode: 3, stderr: "e\n" });
  expect(await vm.shell("kill -9 $$")).toMatchObject({ exitCode: 137, signal: "KILL" });
});

test("output goes to whom it is for, and a signal cancels", async () => {
  const vm = await Machine.get("testbox", daemon);
  let size = 0;
  const onStdout = (bytes: Uint8Array) => {
    size += bytes.length;
  };
  const { stdout } = await vm.shell("head -c 3000000 /dev/zero", { onStdout });
  expect([size, stdout]).toEqual([3_000_000, ""]);
  const abort = new AbortController();
  const endless = bangerErrorOf(
    vm.exec(["sh", "-c", "echo up; exec sleep 1000"], {
      signal: abort.signal,
      onStdout: () => abort.abort(),
    }),
  );
  expect((await endless).code).toBe("cancelled");
});

test("a socket may have any path", async () => {
  const odd = join(daemon.folder, "John O'Brien: 100% #1");
  symlinkSync(daemon.socket, odd);
  const vm = await Machine.get("testbox", { socket: odd });
  expect((await vm.exec(["echo", "here"])).stdout).toBe("here\n");
});
