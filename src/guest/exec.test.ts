/** Commands in the real agent, which is built with the sanitizers and runs on this computer. */
import { expect, test } from "bun:test";
import { chmodSync, copyFileSync, statSync } from "node:fs";
import { MiB } from "#base/size.ts";
import { agentFixture, codeOf, collectOutput, processGone, textOf } from "#test/guest-fixture.ts";
import { testNeeding } from "#test/needs.ts";
import { until } from "#test/until.ts";

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

test("arguments and variables have the kernel's limits, and an error beyond them", async () => {
  const long = "x".repeat(100_000);
  expect((await fixture.agent.run(["printf", "%s", long])).stdout.length).toBe(long.length);
  const many = Array.from({ length: 60_000 }, (_, index) => `argument ${index}`);
  const counted = await fixture.agent.run(["sh", "-c", `echo $# "\${60000}"`, "sh", ...many]);
  expect(textOf(counted.stdout)).toBe("60000 argument 59999\n");
  const env = Object.fromEntries(
    Array.from({ length: 1500 }, (_, index) => [`V.${index}`, "y".repeat(1000)]),
  );
  const { stdout } = await fixture.agent.run(["env"], { env, outputMax_bytes: 4 * MiB });
  expect(textOf(stdout).match(/^V\.\d+=y{1000}$/gm)?.length).toBe(1500);
  expect(textOf(stdout)).toMatch(/^HOME=./m);
  const tooLong = fixture.agent.run(["true", "x".repeat(131_072)]);
  expect(await codeOf(tooLong)).toBe("command_not_executable");
  await tooLong.catch((error) => expect(error.message).toContain("rgument list too long"));
  expect(await codeOf(fixture.agent.run(["true"], { env: { ...env, ...wide(env) } }))).toBe(
    "command_not_executable",
  );
  const beyond = Array<string>(20_000).fill("x".repeat(104));
  expect(await codeOf(fixture.agent.run(["true", ...beyond]))).toBe("command_not_executable");
});

/** As many again under other names. */
function wide(env: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).map(([name, value]) => [`W${name}`, value]));
}

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
  expect(await codeOf(fixture.agent.run(["no-such-program"]))).toBe("command_not_found");
  expect(await codeOf(fixture.agent.run(["/no/such/program"]))).toBe("command_not_found");
  expect(await codeOf(fixture.agent.run([fixture.folder]))).toBe("command_not_executable");
  expect(await codeOf(fixture.agent.run(["/etc/passwd"]))).toBe("command_not_executable");
  expect(await codeOf(fixture.agent.run(["true"], { cwd: "/no/such/folder" }))).toBe("not_found");
  expect(await codeOf(fixture.agent.run(["true"], { user: "nobody-of-that-name" }))).toBe(
    "not_found",
  );
  const longPath = `/${"x".repeat(5000)}`;
  expect(await codeOf(fixture.agent.run(["pwd"], { cwd: longPath }))).toBe("invalid_argument");
  expect(await codeOf(fixture.agent.run(["a\0b"]))).toBe("invalid_argument");
  expect(await codeOf(fixture.agent.run([]))).toBe("invalid_argument");
});

/** Of Debian's passwd: no one's. */
const NOBODY = "65534:65534";
const asRoot = testNeeding("root");

asRoot("a user opens what it was given by name, with a terminal and without", async () => {
  const script = "echo out >/dev/stdout; echo err >/dev/stderr; cat </dev/stdin";
  const argv = ["sh", "-c", script];
  const input = Buffer.from("in");
  const run = await fixture.agent.run(argv, { user: NOBODY, input });
  expect([run.status, textOf(run.stdout), textOf(run.stderr)]).toEqual([
    { code: 0 },
    "out\nin",
    "err\n",
  ]);
  const quiet = await fixture.agent.run(["sh", "-c", script], { user: NOBODY });
  expect([quiet.status, textOf(quiet.stdout)]).toEqual([{ code: 0 }, "out\n"]);
  const stream = await fixture.agent.exec({
    argv: ["sh", "-c", "echo out >/dev/stdout; echo err >/dev/stderr; head -n1 </dev/stdin"],
    user: NOBODY,
    tty: { columns: 80, rows: 24 },
  });
  const output = collectOutput(stream);
  await stream.writeStdin(new TextEncoder().encode("typed\n"));
  expect(await stream.exited).toEqual({ code: 0 });
  // The terminal echoes what is typed at any time.
  expect(output.text().replace("typed\r\n", "")).toMatch(/^out\r\nerr\r\n/);
});

asRoot("a program called init is PID 1, and takes along what it has started", async () => {
  const init = `${fixture.folder}/init`;
  copyFileSync("/bin/dash", init);
  // The two of the pipe may be there as well.
  const mark = `4712${process.pid}`;
  const script = `echo $$; ls -d /proc/[0-9]* | wc -l; sleep ${mark} & echo started`;
  const { stdout } = await fixture.agent.run([init, "-c", script]);
  expect(textOf(stdout)).toMatch(/^1\n[123]\nstarted\n$/);
  const left = await fixture.agent.run(["sh", "-c", `ps ax | grep -c '[s]leep ${mark}'`]);
  expect(textOf(left.stdout)).toBe("0\n");
  expect(textOf((await fixture.agent.run(["sh", "-c", "echo $$"])).stdout)).not.toBe("1\n");
});

asRoot("a folder that is missing is made when it is asked for", async () => {
  const cwd = `${fixture.folder}/a/b`;
  const { stdout } = await fixture.agent.run(["pwd"], { cwd, makesCwd: true });
  expect(textOf(stdout)).toBe(`${cwd}\n`);
  const made = statSync(cwd);
  expect([made.uid, made.mode & 0o777]).toEqual([0, 0o755]);
  const relative = await fixture.agent.run(["pwd"], { cwd: cwd.slice(1) });
  expect(textOf(relative.stdout)).toBe(`${cwd}\n`);
  // The image's folder may be one that its user cannot enter.
  chmodSync(`${fixture.folder}/a`, 0o700);
  const closed = await fixture.agent.run(["sh", "-c", "readlink /proc/self/cwd"], {
    cwd,
    user: NOBODY,
  });
  expect(textOf(closed.stdout)).toBe(`${cwd}\n`);
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
});

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
  await until(() => size === 1000);
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
  expect(() => plain.signal("NOSUCH")).toThrow("unknown signal");
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
  // One of years, as HEALTHCHECK may have, does not fire at once.
  await fixture.agent.run(["true"], { timeout_ms: 2 ** 40 });
  expect(await codeOf(fixture.agent.run(["yes"], { outputMax_bytes: 1000 }))).toBe(
    "limit_exceeded",
  );
  expect((await fixture.agent.health()).streams).toBe(0);
});
