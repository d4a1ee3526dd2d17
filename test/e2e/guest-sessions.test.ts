/** Sessions and limits of commands through the built program, on an image of busybox and nothing else. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Session } from "#api/session.ts";
import type { Vm } from "#api/vm.ts";
import { pullBusybox } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";
import { LIMIT_MS } from "#test/limit.ts";

// For a run of several files, of which only the first has the default of its own.
setDefaultTimeout(LIMIT_MS);

const VM = "small";
let banger: Installation;

beforeAll(async () => {
  banger = install();
  await pullBusybox(banger);
  const flags = ["--image", "busybox", "--name", VM, "--mode", "direct", "--net", "none"];
  await banger.ok("vm", "create", ...flags);
});

afterAll(async () => {
  await banger?.[Symbol.asyncDispose]();
});

const exec = (...argv: string[]) => banger.ok("vm", "exec", VM, "--", ...argv);
const session = (verb: string, ...rest: string[]) => banger.ok("vm", "session", verb, VM, ...rest);
const show = (name: string) => banger.json<Session>("vm", "session", "show", VM, name);

async function killDaemon(): Promise<void> {
  const { pid } = await banger.json<{ pid: number }>("daemon", "status");
  process.kill(pid, "SIGKILL");
}

/** Reads until it has said `text`. */
async function until(name: string, text: string): Promise<string> {
  for (;;) {
    const said = await session("logs", name);
    if (said.includes(text)) return said;
    await Bun.sleep(50);
  }
}

test("a session outlives a killed daemon, and no byte of it is lost or comes twice", async () => {
  const script =
    "i=0; while [ $i -lt 4000 ]; do echo line $i; i=$((i+1)); done; read x; echo got $x $MINE";
  await banger.ok(
    ...["vm", "session", "start", "-e", "MINE=1", VM, "work"],
    ...["--", "sh", "-c", script],
  );
  expect((await banger.call(["vm", "session", "start", VM, "work", "--", "true"])).status).toBe(5);
  await killDaemon();
  await until("work", "line 2000\n");
  await killDaemon();
  await session("send", "work", "the", "-k", "space");
  await killDaemon();
  await session("send", "work", "end\n");
  expect((await banger.call(["vm", "session", "wait", VM, "work"])).status).toBe(0);
  const lines = Array.from({ length: 4000 }, (_, index) => `line ${index}\n`).join("");
  expect(await session("logs", "work")).toBe(`${lines}got the end 1\n`);
  expect(await show("work")).toMatchObject({ state: "ended", exit: { code: 0 }, lost_bytes: 0 });
  // The guest keeps nothing of what has ended.
  expect(await exec("ls", "/run/banger/sessions")).toBe("");
});

test("terminals come and go, several at once, and the keys to leave are theirs", async () => {
  await banger.ok("vm", "session", "start", "-t", VM, "shell", "--", "sh");
  const attach = () => {
    // "script" gives each a terminal of its own.
    const command = `banger vm session attach ${VM} shell`;
    return Bun.spawn(["script", "-qec", command, "/dev/null"], {
      env: banger.env,
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
  };
  const [one, two] = [attach(), attach()];
  const [first, second] = [lookFor(one.stdout), lookFor(two.stdout)];
  await Promise.all([first("# "), second("# ")]);
  one.stdin.write("echo $((40 + 2))\r");
  await Promise.all([first("42\r"), second("42\r")]);
  one.stdin.write("\u0010\u0011");
  one.stdin.flush();
  await first("keeps running");
  expect(await one.exited).toBe(0);
  await session("send", "shell", "exit 7", "-k", "enter");
  expect(await two.exited).toBe(7);
  expect((await show("shell")).exit).toEqual({ code: 7 });
});

function lookFor(stream: ReadableStream<Uint8Array>): (text: string) => Promise<void> {
  const reader = stream.getReader();
  let seen = "";
  return async (text) => {
    while (!seen.includes(text)) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`it has ended with ${JSON.stringify(seen)}`);
      seen += new TextDecoder().decode(value);
    }
  };
}

test("send takes a file, to its end", async () => {
  const text = "a line of a file\n".repeat(100_000);
  writeFileSync(join(banger.home, "input"), text);
  await session("start", "count", "--", "sh", "-c", "cat | md5sum");
  await session("send", "count", "--file", "input", "--eof");
  await session("wait", "count");
  const sum = new Bun.CryptoHasher("md5").update(text).digest("hex");
  expect(await session("logs", "count")).toBe(`${sum}  -\n`);
  expect((await banger.call(["vm", "session", "send", VM, "count", "more"])).status).toBe(6);
});

test("signals, kill, list and rm", async () => {
  const trap = "trap 'echo caught' USR1; echo up; while :; do sleep 0.1; done";
  await session("start", "loop", "--", "sh", "-c", trap);
  await until("loop", "up\n");
  await session("signal", "loop", "usr1");
  await until("loop", "caught\n");
  expect((await banger.call(["vm", "session", "rm", VM, "loop"])).status).toBe(6);
  expect(
    (await banger.call(["vm", "session", "wait", VM, "loop", "--timeout", "10ms"])).status,
  ).toBe(8);
  await session("kill", "loop");
  expect((await banger.call(["vm", "session", "wait", VM, "loop"])).status).toBe(137);
  expect(await banger.ok("vm", "session", "list", "-q")).toBe("count\nloop\nshell\nwork\n");
  await session("rm", "work", "shell", "count", "loop");
  expect(await banger.json<Session[]>("vm", "session", "list", VM)).toEqual([]);
  expect((await banger.call(["vm", "session", "show", VM, "loop"])).status).toBe(4);
});

test("exec -d leaves a command running as a session", async () => {
  const name = (
    await banger.ok("vm", "exec", "-d", VM, "--", "sh", "-c", "echo on; sleep 600")
  ).trim();
  await until(name, "on\n");
  expect((await show(name)).state).toBe("running");
  await session("rm", "--force", name);
});

test("exec ends what takes too long or prints too much", async () => {
  const late = await banger.call(["vm", "exec", "--timeout", "300ms", VM, "--", "sleep", "600"]);
  expect(late).toMatchObject({ status: 124 });
  expect(late.stderr).toMatch(/"sleep" timed out after/);
  const args = ["vm", "exec", "--max-output", "1000", VM, "--", "sh", "-c", "exec yes"];
  const much = await banger.call(args);
  expect({ status: much.status, length: much.stdout.length }).toEqual({
    status: 125,
    length: 1000,
  });
  expect(await exec("sh", "-c", "ps | grep -c '[s]leep 600\\|[y]es' || true")).toBe("0\n");
});

test("exec takes users by name and number, with a group", async () => {
  const id = async (user: string) =>
    await banger.ok("vm", "exec", "-u", user, VM, "--", "sh", "-c", "id -u; id -g; pwd");
  expect(await id("bob")).toBe("1000\n1000\n/\n");
  expect(await id("1000")).toBe("1000\n1000\n/\n");
  expect(await id("4321:7")).toBe("4321\n7\n/\n");
  const { status, stderr } = await banger.call(["vm", "exec", "-u", "nobody", VM, "--", "id"]);
  expect([status, stderr]).toEqual([125, expect.stringContaining('such user or group: "nobody"')]);
});

test("the exit status tells a command's own from a shell's and from banger's", async () => {
  const status = async (...argv: string[]) => (await banger.call(["vm", "exec", ...argv])).status;
  for (const own of [4, 8, 125, 126, 127]) {
    expect(await status(VM, "--", "sh", "-c", `exit ${own}`)).toBe(own);
  }
  expect(await status(VM, "--", "no-such-program")).toBe(127);
  expect(await status(VM, "--", "/no/such/program")).toBe(127);
  expect(await status(VM, "--", "/etc/passwd")).toBe(126);
  expect(await status(VM, "--", "/etc")).toBe(126);
  expect(await status("-w", "/no/such/folder", VM, "--", "true")).toBe(125);
  expect(await status("no-such-machine", "--", "true")).toBe(125);
  expect(await status("--no-such-flag", VM, "--", "true")).toBe(125);
  expect(await status("-e", "=x", VM, "--", "true")).toBe(125);
  expect((await banger.call(["exec", VM])).status).toBe(125);
  expect((await banger.call(["vm", "run", "--no-such-flag", "busybox"])).status).toBe(125);
  expect((await banger.call(["vm", "show", "no-such-machine"])).status).toBe(4);
});

test("an environment of 1.5 MB arrives whole, and one that Linux would not take is an error", async () => {
  const file = join(banger.home, "env");
  const lines = Array.from({ length: 1500 }, (_, index) => `app.v${index}=${"x".repeat(1000)}\n`);
  writeFileSync(file, lines.join(""));
  const argv = ["vm", "exec", "--env-file", file, VM, "--", "env"];
  const environment = (await banger.ok(...argv)).split("\n");
  expect(environment.filter((line) => /^app\.v\d+=x{1000}$/.test(line))).toHaveLength(1500);
  expect(environment).toContain("HOME=/root");
  writeFileSync(file, lines.concat(lines.map((line) => `b${line}`)).join(""));
  const { status, stderr } = await banger.call(argv);
  expect([status, stderr]).toEqual([126, expect.stringMatching(/argument list too long/i)]);
});

test("sessions end with their machine, and their logs stay until it is removed", async () => {
  await session("start", "last", "--", "sh", "-c", "echo here; sleep 600");
  await until("last", "here\n");
  await banger.ok("vm", "stop", VM);
  expect(await session("logs", "last")).toBe("here\n");
  expect((await banger.call(["vm", "session", "wait", VM, "last"])).status).toBe(14);
  expect((await show("last")).state).toBe("lost");
  const { id } = await banger.json<Vm>("vm", "show", VM);
  const folder = join(banger.home, "state/banger/vms", id, "sessions/last");
  expect(readdirSync(folder).sort()).toEqual(["output.0000000000000000", "session.json"]);
  expect((await banger.call(["vm", "session", "start", VM, "x", "--", "true"])).status).toBe(6);
});

describe("the command of a machine in direct mode", () => {
  const create = ["vm", "create", "--mode", "direct", "--net", "none", "--memory", "256M"];
  const SERVICE = 'trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.1; done';
  const logs = (...rest: string[]) => banger.ok("vm", "logs", ...rest);
  const stateOf = async (name: string) => await banger.json<Vm>("vm", "show", name);

  async function untilLogged(name: string, pattern: RegExp): Promise<string> {
    for (;;) {
      const text = await logs(name);
      if (pattern.test(text)) return text;
      await Bun.sleep(50);
    }
  }

  test("runs with the machine, outlives the daemon, is asked to end, and is in the logs", async () => {
    await banger.ok(...create, "--name", "service", "busybox", "--", "sh", "-c", SERVICE);
    expect((await stateOf("service")).command).toEqual(["sh", "-c", SERVICE]);
    await untilLogged("service", /^up\n$/);
    await killDaemon();
    expect(await logs("service")).toBe("up\n");
    await banger.ok("vm", "stop", "service");
    expect(await logs("service")).toBe("up\nbye\n");
    expect((await stateOf("service")).exit).toMatchObject({ reason: "poweroff", status: 3 });
    expect(await banger.ok("vm", "wait", "service")).toBe("poweroff (status 3)\n");
    await banger.ok("vm", "start", "service");
    await untilLogged("service", /^up\nbye\nup\n$/);
    expect(await logs("-n", "1", "service")).toBe("up\n");
    expect(await logs("--console", "service")).not.toContain("bye");
    await banger.ok("vm", "rm", "-f", "service");
  });

  test("ends the machine with it, which is started again as --restart says", async () => {
    const flags = ["--restart", "on-failure", "--name", "again"];
    const script = "n=$(cat /n || echo 0); echo $((n + 1)) >/n; echo run $n; [ $n = 1 ] || exit 5";
    await banger.ok(...create, ...flags, "busybox", "--", "sh", "-c", script);
    await untilLogged("again", /run 1\n/);
    for (;;) {
      const { state, exit } = await stateOf("again");
      if (state === "stopped" && exit?.status === 0) break;
      await Bun.sleep(100);
    }
    expect(await logs("again")).toMatch(/run 0\n.*run 1\n$/s);
    await banger.ok("vm", "rm", "again");
  });

  test("comes from run -d, with its user, folder, environment and terminal", async () => {
    const flags = ["--name", "detached", "--net", "none", "--memory", "256M", "-e", "COLOR=blue"];
    const script = "tty; id -u; pwd; echo $COLOR; exec sleep 1000";
    const run = ["vm", "run", "-dt", "-u", "1000", "-w", "/var/new", ...flags, "busybox"];
    expect(await banger.ok(...run, "sh", "-c", script)).toBe("detached\n");
    const text = await untilLogged("detached", /blue/);
    expect(text.replaceAll("\r", "")).toBe("/dev/pts/0\n1000\n/var/new\nblue\n");
    await banger.ok("vm", "rm", "-f", "detached");
    const refused = await banger.call(["vm", "run", "-d", "--rm", "busybox", "true"]);
    expect([refused.status, refused.stderr]).toEqual([
      125,
      expect.stringContaining("conflicting options: --rm and --detach"),
    ]);
  });

  test("that does not exist is an error, and no machine is left", async () => {
    const none = await banger.call([...create, "--name", "none", "busybox", "--", "no-such"]);
    expect([none.status, none.stderr]).toEqual([127, expect.stringContaining('"no-such"')]);
    expect((await banger.call(["vm", "show", "none"])).status).toBe(4);
  });

  test("run --keep remembers how its command ended", async () => {
    const flags = ["--keep", "--name", "kept", "--net", "none", "--memory", "256M"];
    const { status } = await banger.call(["vm", "run", ...flags, "busybox", "sh", "-c", "exit 5"]);
    expect(status).toBe(5);
    expect((await stateOf("kept")).exit).toMatchObject({ status: 5 });
    expect(await banger.ok("vm", "show", "kept")).toMatch(/^Last exit: +poweroff \(status 5\)/m);
    await banger.ok("vm", "rm", "kept");
  });

  test("a mode that nobody named is direct where no init system can be, and a bare shell runs nothing", async () => {
    const flags = ["--name", "bare", "--net", "none", "--memory", "256M"];
    const create = ["vm", "create", "--progress=plain", ...flags, "busybox"];
    const { status, stdout, stderr } = await banger.call(create);
    expect([status, stdout]).toEqual([0, "bare\n"]);
    expect(stderr).toContain('Using direct mode: "busybox" has no init system');
    expect(await stateOf("bare")).toMatchObject({ mode: "direct", state: "running" });
    expect((await stateOf("bare")).command).toBeUndefined();
    await banger.ok("vm", "rm", "-f", "bare");
  });
});
