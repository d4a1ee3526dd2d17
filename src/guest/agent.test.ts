/** The host's side against the real agent, which is built with the sanitizers and runs on this computer. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { buildSanitizedAgent, type LocalAgent, startLocalAgent } from "#test/guest-agent.ts";
import { type Agent, connectAgent } from "./agent.ts";
import type { ExecStream } from "./exec.ts";
import { encodeFrame } from "./frame.ts";
import { FrameType } from "./protocol.ts";

let folder: string;
let program: string;
let local: LocalAgent;
let agent: Agent;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "banger-agent-test-"));
  program = await buildSanitizedAgent(folder);
}, 180_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

beforeEach(async () => {
  local = startLocalAgent(program);
  agent = await connectAgent(await local.connect());
});

afterEach(async () => {
  agent.close();
  const output = await local.output();
  await local[Symbol.asyncDispose]();
  expect(output).toBe("");
});

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "no error";
  } catch (error) {
    return error instanceof BangerError ? error.code : String(error);
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

/** Collects stdout, granting what it takes. */
function collect(stream: ExecStream): {
  text: () => string;
  until: (part: string) => Promise<void>;
} {
  let all = "";
  let wake = Promise.withResolvers<void>();
  stream.onStdout((chunk) => {
    all += text(chunk);
    stream.grant(chunk.length);
    wake.resolve();
    wake = Promise.withResolvers();
  });
  return {
    text: () => all,
    until: async (part) => {
      while (!all.includes(part)) await wake.promise;
    },
  };
}

test("greets with its version, its features and this boot", () => {
  expect(agent.hello).toMatchObject({ protocol: 1, version: "sanitized", maxStreams: 64 });
  expect(agent.hello.features).toContain("exec");
  const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  expect(agent.hello.bootId).toBe(bootId);
});

test("gives output, errors and status apart", async () => {
  const { status, stdout, stderr } = await agent.run([
    "sh",
    "-c",
    "echo out; echo err >&2; exit 7",
  ]);
  expect([status, text(stdout), text(stderr)]).toEqual([{ code: 7 }, "out\n", "err\n"]);
});

test("passes arguments as they are", async () => {
  const argv = ["printf", "[%s]", "", "a b", "$HOME", "*", "'\"", "käse\n"];
  const { stdout } = await agent.run(argv);
  expect(text(stdout)).toBe("[][a b][$HOME][*]['\"][käse\n]");
});

test("takes requests longer than one frame, and refuses those that are too long", async () => {
  const long = "x".repeat(100_000);
  expect((await agent.run(["printf", "%s", long])).stdout.length).toBe(long.length);
  expect(await codeOf(agent.run(["true", "x".repeat(300_000)]))).toBe("limit_exceeded");
  expect(await codeOf(agent.run(["true", ...Array<string>(5000).fill("x")]))).toBe(
    "limit_exceeded",
  );
});

test("env, cwd and user are as asked", async () => {
  const uid = String(process.getuid?.());
  const { stdout } = await agent.run(["sh", "-c", 'echo "$A $B $(id -u) $PWD"'], {
    env: { A: "1", B: "two words" },
    cwd: folder,
    user: uid,
  });
  expect(text(stdout)).toBe(`1 two words ${uid} ${folder}\n`);
});

test("says what cannot be run, entered or become", async () => {
  expect(await codeOf(agent.run(["no-such-program"]))).toBe("not_found");
  expect(await codeOf(agent.run([folder]))).toBe("permission_denied");
  expect(await codeOf(agent.run(["true"], { cwd: "/no/such/folder" }))).toBe("not_found");
  expect(await codeOf(agent.run(["true"], { user: "nobody-of-that-name" }))).toBe("not_found");
  expect(await codeOf(agent.run(["a\0b"]))).toBe("invalid_argument");
  expect(await codeOf(agent.run([]))).toBe("invalid_argument");
});

test("input reaches the process whole, and its end too", async () => {
  const input = crypto.getRandomValues(new Uint8Array(60_000));
  const { stdout } = await agent.run(["cat"], { input });
  expect(Buffer.compare(stdout, input)).toBe(0);
});

test("50 MiB go through cat and come back the same", async () => {
  const stream = await agent.exec({ argv: ["cat"], stdin: true });
  const sent = new Bun.CryptoHasher("sha256");
  const received = new Bun.CryptoHasher("sha256");
  let size = 0;
  stream.onStdout((chunk) => {
    size += chunk.length;
    received.update(chunk);
    stream.grant(chunk.length);
  });
  const block = crypto.getRandomValues(new Uint8Array(65_000));
  for (let left = 50 * MiB; left > 0; left -= block.length) {
    const piece = block.subarray(0, Math.min(block.length, left));
    sent.update(piece);
    await stream.writeStdin(piece);
  }
  await stream.closeStdin();
  expect(await stream.exited).toEqual({ code: 0 });
  expect(size).toBe(50 * MiB);
  expect(received.digest("hex")).toBe(sent.digest("hex"));
}, 60_000);

test("input that the process does not want is dropped", async () => {
  const stream = await agent.exec({ argv: ["sh", "-c", "exec <&-; sleep 0.2"], stdin: true });
  await stream.writeStdin(new Uint8Array(MiB));
  expect(await stream.exited).toEqual({ code: 0 });
});

test("a stream that nobody reads stops its process and no other", async () => {
  const stalled = await agent.exec({ argv: ["sh", "-c", "yes; echo end >&2"], window_bytes: 1000 });
  let size = 0;
  stalled.onStdout((chunk) => {
    size += chunk.length;
  });
  for (let round = 0; round < 20; round++) {
    const { stdout } = await agent.run(["sh", "-c", "head -c 100000 /dev/zero"]);
    expect(stdout.length).toBe(100_000);
  }
  expect(size).toBe(1000);
  stalled.close();
  expect(await codeOf(stalled.exited)).toBe("cancelled");
});

test("a process without output ends though nothing was granted", async () => {
  const stream = await agent.exec({ argv: ["true"], window_bytes: 0 });
  expect(await stream.exited).toEqual({ code: 0 });
});

test("output that fills the window exactly does not keep the process", async () => {
  const stream = await agent.exec({ argv: ["printf", "12345"], window_bytes: 5 });
  let all = "";
  stream.onStdout((chunk) => {
    all += text(chunk);
  });
  expect(await stream.exited).toEqual({ code: 0 });
  expect(all).toBe("12345");
});

test("a child in the background does not keep the stream", async () => {
  const { stdout, status } = await agent.run(["sh", "-c", "sleep 60 & echo $!"]);
  expect(status).toEqual({ code: 0 });
  process.kill(Number(text(stdout)), "SIGKILL");
});

test("signals reach the process, and its end by one is told", async () => {
  const trapping = await agent.exec({
    argv: ["sh", "-c", "trap 'echo got; exit 3' INT; echo up; while :; do sleep 0.05; done"],
  });
  const output = collect(trapping);
  await output.until("up");
  trapping.signal("SIGINT");
  expect(await trapping.exited).toEqual({ code: 3 });
  expect(output.text()).toContain("got");
  const plain = await agent.exec({ argv: ["sleep", "60"] });
  plain.signal("TERM");
  expect(await plain.exited).toEqual({ signal: "SIGTERM" });
  expect(() => plain.signal("NOSUCH")).toThrow("no such signal");
});

test("a terminal has its size, is resized, and takes ^C and ^D", async () => {
  const stream = await agent.exec({ argv: ["sh"], tty: { columns: 100, rows: 30 } });
  const output = collect(stream);
  const say = (line: string) => stream.writeStdin(new TextEncoder().encode(line));
  await say("stty size; tty\n");
  await output.until("30 100");
  await output.until("/dev/pts/");
  stream.resize({ columns: 77, rows: 11 });
  await say("stty size\n");
  await output.until("11 77");
  await say("echo sleep''ing; sleep 60\n");
  await output.until("sleeping");
  await say("\x03");
  await say("echo sta''tus $?\n");
  await output.until("status 130");
  await stream.closeStdin();
  expect(await stream.exited).toEqual({ code: 0 });
});

test("closing hangs up, and kills what does not listen", async () => {
  const script = "trap '' HUP; echo $$; while :; do sleep 0.05; done";
  const stream = await agent.exec({ argv: ["sh", "-c", script] });
  const output = collect(stream);
  await output.until("\n");
  const pid = Number(output.text());
  stream.close();
  expect(await codeOf(stream.exited)).toBe("cancelled");
  await gone(pid);
});

/** Resolves when there is no such process; the test's own timeout ends the wait. */
async function gone(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await Bun.sleep(10);
  }
}

test("an aborted command is ended", async () => {
  const abort = new AbortController();
  const running = agent.run(["sleep", "60"], { signal: abort.signal });
  setTimeout(() => abort.abort(), 20);
  expect(await codeOf(running)).toBe("cancelled");
  expect(await codeOf(agent.run(["sleep", "60"], { timeout_ms: 20 }))).toBe("timeout");
  expect(await codeOf(agent.run(["yes"], { outputMax_bytes: 1000 }))).toBe("limit_exceeded");
  expect((await agent.health()).streams).toBe(0);
});

test("64 streams at once, and a clear refusal of one more", async () => {
  const streams = await Promise.all(
    Array.from({ length: 64 }, () => agent.exec({ argv: ["cat"], stdin: true })),
  );
  expect(await codeOf(agent.run(["true"]))).toBe("limit_exceeded");
  await Promise.all(streams.map((stream) => stream.closeStdin()));
  for (const stream of streams) expect(await stream.exited).toEqual({ code: 0 });
  expect((await agent.run(["true"])).status).toEqual({ code: 0 });
});

test("connects to unix sockets and TCP ports, half-closed ones too", async () => {
  const path = join(folder, "echo.sock");
  for (const place of [{ path }, { port: 0, host: "127.0.0.1" }]) {
    const server = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
    await new Promise<void>((resolve) => server.listen(place, resolve));
    const address = server.address();
    const duplex = await agent.connect(
      typeof address === "object" && address
        ? { kind: "tcp", host: "localhost", port: address.port }
        : { kind: "unix", path },
    );
    const data = crypto.getRandomValues(new Uint8Array(3 * MiB));
    duplex.end(data);
    expect(Buffer.compare(Buffer.concat(await Array.fromAsync(duplex)), data)).toBe(0);
    server.close();
  }
  expect(await codeOf(agent.connect({ kind: "unix", path: `${path}.no` }))).toBe("not_found");
  expect(await codeOf(agent.connect({ kind: "tcp", host: "127.0.0.1", port: 1 }))).toBe(
    "unavailable",
  );
  expect(await codeOf(agent.connect({ kind: "tcp", host: "a name", port: 1 }))).toBe(
    "invalid_argument",
  );
  expect((await agent.health()).streams).toBe(0);
});

test("an agent that serves no machine turns none off", async () => {
  expect(await codeOf(agent.shutdown())).toBe("unsupported");
});

test("health tells of this computer", async () => {
  const health = await agent.health();
  expect(health.memoryTotal_bytes).toBeGreaterThan(64 * MiB);
  expect(health.memoryAvailable_bytes).toBeLessThanOrEqual(health.memoryTotal_bytes);
  const drift_ms = Math.abs(Number(health.time_unix_ns / 1_000_000n) - Date.now());
  expect(drift_ms).toBeLessThan(60_000);
});

test("a new host ends what an old one left, and is understood behind half a frame", async () => {
  const pipe = await local.connect();
  const second = await connectAgent(pipe);
  await agent.closed;
  const left = await second.exec({ argv: ["sleep", "60"] });
  pipe.write(
    encodeFrame(FrameType.open, { stream: 99, payload: new Uint8Array(1000) }).subarray(0, 500),
  );
  const third = await connectAgent(unowned(pipe));
  expect((await third.run(["true"])).status).toEqual({ code: 0 });
  await gone(left.pid);
  third.close();
});

/** The same pipe for another host, with the listeners of the one before taken off. */
function unowned(pipe: Duplex): Duplex {
  pipe.removeAllListeners();
  return pipe;
}

test("noise from the host is passed over, and the next host is served", async () => {
  const pipe = await local.connect();
  for (let round = 0; round < 50; round++) {
    pipe.write(crypto.getRandomValues(new Uint8Array(5000)));
  }
  const next = await connectAgent(pipe);
  expect((await next.run(["true"])).status).toEqual({ code: 0 });
  next.close();
});
