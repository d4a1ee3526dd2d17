/** Commands in the real agent, which is built with the sanitizers and runs on this computer. */
import { expect, test } from "bun:test";
import { MiB } from "#base/size.ts";
import { agentFixture, codeOf, collectOutput, processGone, textOf } from "#test/guest-fixture.ts";

const fixture = agentFixture();

test("gives output, errors and status apart", async () => {
  const { status, stdout, stderr } = await fixture.agent.run([
    "sh",
    "-c",
    "echo out; echo err >&2; exit 7",
  ]);
  expect([status, textOf(stdout), textOf(stderr)]).toEqual([{ code: 7 }, "out\n", "err\n"]);
});

test("passes arguments as they are", async () => {
  const argv = ["printf", "[%s]", "", "a b", "$HOME", "*", "'\"", "käse\n"];
  const { stdout } = await fixture.agent.run(argv);
  expect(textOf(stdout)).toBe("[][a b][$HOME][*]['\"][käse\n]");
});

test("takes requests longer than one frame, and refuses those that are too long", async () => {
  const long = "x".repeat(100_000);
  expect((await fixture.agent.run(["printf", "%s", long])).stdout.length).toBe(long.length);
  expect(await codeOf(fixture.agent.run(["true", "x".repeat(300_000)]))).toBe("limit_exceeded");
  expect(await codeOf(fixture.agent.run(["true", ...Array<string>(5000).fill("x")]))).toBe(
    "limit_exceeded",
  );
});

test("env, cwd and user are as asked", async () => {
  const uid = String(process.getuid?.());
  const { stdout } = await fixture.agent.run(["sh", "-c", 'echo "$A $B $(id -u) $PWD"'], {
    env: { A: "1", B: "two words" },
    cwd: fixture.folder,
    user: uid,
  });
  expect(textOf(stdout)).toBe(`1 two words ${uid} ${fixture.folder}\n`);
});

test("says what cannot be run, entered or become", async () => {
  expect(await codeOf(fixture.agent.run(["no-such-program"]))).toBe("not_found");
  expect(await codeOf(fixture.agent.run([fixture.folder]))).toBe("permission_denied");
  expect(await codeOf(fixture.agent.run(["true"], { cwd: "/no/such/folder" }))).toBe("not_found");
  expect(await codeOf(fixture.agent.run(["true"], { user: "nobody-of-that-name" }))).toBe(
    "not_found",
  );
  expect(await codeOf(fixture.agent.run(["a\0b"]))).toBe("invalid_argument");
  expect(await codeOf(fixture.agent.run([]))).toBe("invalid_argument");
});

test("input reaches the process whole, and its end too", async () => {
  const input = crypto.getRandomValues(new Uint8Array(60_000));
  const { stdout } = await fixture.agent.run(["cat"], { input });
  expect(Buffer.compare(stdout, input)).toBe(0);
});

test("50 MiB go through cat and come back the same", async () => {
  const stream = await fixture.agent.exec({ argv: ["cat"], stdin: true });
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
  const stream = await fixture.agent.exec({
    argv: ["sh", "-c", "exec <&-; sleep 0.2"],
    stdin: true,
  });
  await stream.writeStdin(new Uint8Array(MiB));
  expect(await stream.exited).toEqual({ code: 0 });
});

test("a stream that nobody reads stops its process and no other", async () => {
  const stalled = await fixture.agent.exec({
    argv: ["sh", "-c", "yes; echo end >&2"],
    window_bytes: 1000,
  });
  let size = 0;
  stalled.onStdout((chunk) => {
    size += chunk.length;
  });
  for (let round = 0; round < 20; round++) {
    const { stdout } = await fixture.agent.run(["sh", "-c", "head -c 100000 /dev/zero"]);
    expect(stdout.length).toBe(100_000);
  }
  expect(size).toBe(1000);
  stalled.close();
  expect(await codeOf(stalled.exited)).toBe("cancelled");
});

test("a process without output ends though nothing was granted", async () => {
  const stream = await fixture.agent.exec({ argv: ["true"], window_bytes: 0 });
  expect(await stream.exited).toEqual({ code: 0 });
});

test("output that fills the window exactly does not keep the process", async () => {
  const stream = await fixture.agent.exec({ argv: ["printf", "12345"], window_bytes: 5 });
  let all = "";
  stream.onStdout((chunk) => {
    all += textOf(chunk);
  });
  expect(await stream.exited).toEqual({ code: 0 });
  expect(all).toBe("12345");
});

test("a child in the background does not keep the stream", async () => {
  const { stdout, status } = await fixture.agent.run(["sh", "-c", "sleep 60 & echo $!"]);
  expect(status).toEqual({ code: 0 });
  process.kill(Number(textOf(stdout)), "SIGKILL");
});

test("grants that come before the output count", async () => {
  const stream = await fixture.agent.exec({
    argv: ["head", "-c", "3000", "/dev/zero"],
    window_bytes: 1000,
  });
  stream.grant(1000);
  stream.grant(1000);
  let size = 0;
  stream.onStdout((chunk) => {
    size += chunk.length;
  });
  expect(await stream.exited).toEqual({ code: 0 });
  expect(size).toBe(3000);
});

test("signals reach the process, and its end by one is told", async () => {
  const trapping = await fixture.agent.exec({
    argv: ["sh", "-c", "trap 'echo got; exit 3' INT; echo up; while :; do sleep 0.05; done"],
  });
  const output = collectOutput(trapping);
  await output.until("up");
  trapping.signal("SIGINT");
  expect(await trapping.exited).toEqual({ code: 3 });
  expect(output.text()).toContain("got");
  const plain = await fixture.agent.exec({ argv: ["sleep", "60"] });
  plain.signal("TERM");
  expect(await plain.exited).toEqual({ signal: "SIGTERM" });
  expect(() => plain.signal("NOSUCH")).toThrow("no such signal");
});

test("a terminal has its size, is resized, and takes ^C and ^D", async () => {
  const stream = await fixture.agent.exec({ argv: ["sh"], tty: { columns: 100, rows: 30 } });
  const output = collectOutput(stream);
  const say = (line: string) => stream.writeStdin(new TextEncoder().encode(line));
  await say("stty size; tty\n");
  await output.until("30 100");
  await output.until("/dev/pts/");
  stream.resize({ columns: 77, rows: 11 });
  await say("stty size\n");
  await output.until("11 77");
  await say(`sh -c "echo sleep''ing; exec sleep 60"\n`);
  await output.until("sleeping");
  await say("\x03");
  await say("echo sta''tus $?\n");
  await output.until("status 130");
  await stream.closeStdin();
  expect(await stream.exited).toEqual({ code: 0 });
});

test("closing hangs up, and kills what does not listen", async () => {
  const script = "trap '' HUP; echo $$; while :; do sleep 0.05; done";
  const stream = await fixture.agent.exec({ argv: ["sh", "-c", script] });
  const output = collectOutput(stream);
  await output.until("\n");
  const pid = Number(output.text());
  stream.close();
  expect(await codeOf(stream.exited)).toBe("cancelled");
  await processGone(pid);
});

test("an aborted command is ended", async () => {
  const abort = new AbortController();
  const running = fixture.agent.run(["sleep", "60"], { signal: abort.signal });
  setTimeout(() => abort.abort(), 20);
  expect(await codeOf(running)).toBe("cancelled");
  expect(await codeOf(fixture.agent.run(["sleep", "60"], { timeout_ms: 20 }))).toBe("timeout");
  expect(await codeOf(fixture.agent.run(["yes"], { outputMax_bytes: 1000 }))).toBe(
    "limit_exceeded",
  );
  expect((await fixture.agent.health()).streams).toBe(0);
});
