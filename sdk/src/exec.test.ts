import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import type { ExecOpen } from "#api/exec.ts";
import { INITIAL_CREDIT_BYTES, STDOUT_TAG } from "#api/exec-constants.ts";
import { BangerError } from "#base/error.ts";
import type { Progress } from "#base/progress.ts";
import { MiB } from "#base/size.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { type LocalDaemon, startLocalDaemon } from "#test/local-daemon.ts";
import { until } from "#test/until.ts";
import { openExec } from "./exec.ts";

// For a run of several files, of which only the first has the default of its own.
setDefaultTimeout(LIMIT_MS);

let daemon: LocalDaemon;
beforeEach(async () => {
  daemon = await startLocalDaemon();
});
afterEach(async () => {
  expect(daemon.violations).toEqual([]);
  await daemon[Symbol.asyncDispose]();
});

function sh(script: string, more: Partial<Extract<ExecOpen, { kind: "exec" }>["exec"]> = {}) {
  const argv = ["/bin/sh", "-c", script];
  return { kind: "exec", vm: "testbox", exec: { argv, ...more } } as const;
}

function collector() {
  const chunks: Uint8Array[] = [];
  return {
    take: (bytes: Uint8Array) => void chunks.push(bytes),
    get bytes() {
      return Buffer.concat(chunks);
    },
    get text() {
      return Buffer.concat(chunks).toString();
    },
  };
}

test("openExec() keeps stdout and stderr apart and gives the exit status", async () => {
  const out = collector();
  const err = collector();
  const connection = openExec(daemon.socket, sh("echo out; echo err >&2; exit 7"), {
    onStdout: out.take,
    onStderr: err.take,
  });
  expect(await connection.started).toBe("testbox");
  expect(await connection.exited).toEqual({ code: 7 });
  expect(out.text).toBe("out\n");
  expect(err.text).toBe("err\n");
});

test("openExec() passes signals on and tells which one ended the command", async () => {
  const connection = openExec(daemon.socket, sh("exec sleep 60"));
  await connection.started;
  connection.signal("TERM");
  expect(await connection.exited).toEqual({ signal: "TERM" });
});

test("openExec() sends stdin under the daemon's credit, and its end", async () => {
  const out = collector();
  const connection = openExec(daemon.socket, sh("cat", { stdin: true }), { onStdout: out.take });
  const sent = Buffer.alloc(3 * MiB + 17, "abcdefghij");
  expect(await connection.writeStdin(sent)).toBe(true);
  connection.endStdin();
  expect(await connection.exited).toEqual({ code: 0 });
  expect(out.bytes.equals(sent)).toBe(true);
});

test("openExec() says false when nobody takes stdin any more", async () => {
  const connection = openExec(daemon.socket, sh("exit 0", { stdin: true }));
  await connection.exited;
  expect(await connection.writeStdin(new Uint8Array(10))).toBe(false);
});

test("a slow reader stalls the command, and loses nothing", async () => {
  const size = 4 * MiB;
  let received = 0;
  let hold = Promise.withResolvers<void>();
  const connection = openExec(daemon.socket, sh(`head -c ${size} /dev/zero`), {
    onStdout: (bytes) => {
      received += bytes.length;
      return hold.promise;
    },
  });
  await connection.started;
  await until(() => received > 0);
  await Bun.sleep(100);
  // One chunk was handed over; no more than the window is under way behind it.
  expect(daemon.outstandingMax).toBeLessThanOrEqual(INITIAL_CREDIT_BYTES);
  expect(received).toBeLessThan(size);
  hold.resolve();
  hold = Promise.withResolvers();
  hold.resolve();
  expect(await connection.exited).toEqual({ code: 0 });
  expect(received).toBe(size);
  expect(daemon.outstandingMax).toBeLessThanOrEqual(INITIAL_CREDIT_BYTES);
});

test("the exit comes after all output was taken", async () => {
  let isTaken = false;
  const connection = openExec(daemon.socket, sh("echo last"), {
    onStdout: async () => {
      await Bun.sleep(50);
      isTaken = true;
    },
  });
  await connection.exited;
  expect(isTaken).toBe(true);
});

test("a callback that fails ends the connection with its error", async () => {
  const connection = openExec(daemon.socket, sh("yes"), {
    onStdout: () => {
      throw new BangerError("no_space", "The disk is full");
    },
  });
  const error = await connection.exited.catch((thrown) => thrown);
  expect(error.code).toBe("no_space");
  await until(() => daemon.sessions === 0);
});

test("a terminal has the size that was asked for, and later ones", async () => {
  const out = collector();
  const script = "trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.05; done";
  const terminal = { columns: 100, rows: 30 };
  const connection = openExec(daemon.socket, sh(script, { terminal, stdin: true }), {
    onStdout: out.take,
  });
  await until(() => out.text.includes("30 100"));
  connection.resize({ columns: 120, rows: 40 });
  await connection.exited;
  expect(out.text).toContain("40 120");
});

test("progress is reported before the command runs", async () => {
  const reports: Progress[] = [];
  const connection = openExec(
    daemon.socket,
    { kind: "run", create: { image: "debian" }, exec: { argv: ["true"] } },
    { onProgress: (report) => void reports.push(report) },
  );
  expect(await connection.started).toBe("made-up");
  expect(reports).toEqual([{ step: "boot", message: "Booting", lines: ["Installing systemd"] }]);
  expect(await connection.exited).toEqual({ code: 0 });
});

test("a command's start is told before its output, also when both arrive together", async () => {
  const path = join(daemon.folder, "batch.sock");
  using _server = Bun.serve({
    unix: path,
    fetch: (request, server) => void server.upgrade(request),
    websocket: {
      message(socket) {
        socket.cork(() => {
          socket.send(JSON.stringify({ progress: { step: "boot", message: "Booting" } }));
          socket.send(JSON.stringify({ started: { vm: "testbox" } }));
          socket.send(new Uint8Array([STDOUT_TAG, 0x31]));
          socket.send(JSON.stringify({ exit: { code: 0 } }));
        });
      },
    },
  });
  const events: string[] = [];
  const connection = openExec(path, sh("echo 1"), {
    onProgress: ({ step }) => events.push(step),
    onStarted: (vm) => events.push(vm),
    onStdout: (bytes) => void events.push(String(bytes.length)),
  });
  await connection.exited;
  expect(events).toEqual(["boot", "testbox", "1"]);
});

test("what keeps the command from running rejects both promises, with the hint", async () => {
  daemon.vms.clear();
  const connection = openExec(daemon.socket, sh("true"));
  for (const promise of [connection.started, connection.exited]) {
    const error = await (promise as Promise<unknown>).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(BangerError);
    expect(error).toMatchObject({ code: "invalid_state", hint: "test" });
  }
});

test("no daemon is unavailable", async () => {
  const connection = openExec(join(daemon.folder, "missing.sock"), sh("true"));
  const error = await connection.started.catch((thrown) => thrown);
  expect(error).toMatchObject({ code: "unavailable" });
});

test("where nobody answers, openExec() has a daemon started, once", async () => {
  const socket = join(daemon.folder, "late.sock");
  const connection = openExec(socket, sh("exit 3"), {
    revive: async () => {
      symlinkSync(daemon.socket, socket);
      return socket;
    },
  });
  expect(await connection.exited).toEqual({ code: 3 });
  expect(daemon.opened).toHaveLength(1);
  let calls = 0;
  const revive = async () => {
    calls++;
    return join(daemon.folder, "missing.sock");
  };
  const failing = openExec(join(daemon.folder, "missing.sock"), sh("true"), { revive });
  expect(await failing.exited.catch((thrown) => thrown)).toMatchObject({
    code: "unavailable",
    hint: "Start it with: banger daemon start",
  });
  expect(calls).toBe(1);
});

test("aborting ends the session in the daemon", async () => {
  const abort = new AbortController();
  const connection = openExec(daemon.socket, sh("sleep 60"), { signal: abort.signal });
  await connection.started;
  abort.abort();
  expect(await connection.exited.catch(({ code }) => code)).toBe("cancelled");
  await until(() => daemon.sessions === 0);
});

test("a connection into the machine carries bytes both ways", async () => {
  const echo = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket, bytes) {
        socket.end(`got ${bytes.toString()}`);
      },
    },
  });
  try {
    const out = collector();
    const target = { host: "127.0.0.1", port: echo.port };
    const connection = openExec(
      daemon.socket,
      { kind: "connect", vm: "testbox", target },
      { onStdout: out.take },
    );
    await connection.writeStdin(Buffer.from("ping"));
    expect(await connection.exited).toEqual({ code: 0 });
    expect(out.text).toBe("got ping");
  } finally {
    echo.stop(true);
  }
});
