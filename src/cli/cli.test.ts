import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { MiB } from "#base/size.ts";
import { version } from "#base/version.ts";
import { cliCommand, cliEnvironment, runCli } from "#test/cli.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { type LocalDaemon, makeVm, startLocalDaemon } from "#test/local-daemon.ts";
import { onTerminal } from "#test/terminal.ts";
import { until } from "#test/until.ts";

// For a run of several files, of which only the first has the default of its own.
setDefaultTimeout(LIMIT_MS);

let daemon: LocalDaemon;
beforeAll(async () => {
  daemon = await startLocalDaemon();
});
beforeEach(() => {
  daemon.version = version.version;
  daemon.vms.clear();
  daemon.vms.set("testbox", makeVm("testbox"));
});
afterAll(async () => {
  expect(daemon.violations).toEqual([]);
  await daemon[Symbol.asyncDispose]();
});

const banger = (...words: string[]) => runCli(words, { env: daemon.env });

/** The command line as a process that goes on, with what it has printed so far. */
function start(words: string[], stdin: "ignore" | "pipe" = "ignore") {
  const child = Bun.spawn(cliCommand(words), {
    env: cliEnvironment(daemon.env),
    stdin,
    stdout: "pipe",
    stderr: "pipe",
  });
  const printed = { stdout: "", stderr: "" };
  const read = async (name: "stdout" | "stderr"): Promise<void> => {
    for await (const chunk of child[name]) printed[name] += new TextDecoder().decode(chunk);
  };
  const ended = Promise.all([read("stdout"), read("stderr"), child.exited]);
  return { child, printed, ended };
}

/** The command line on a terminal. `shell`: run by sh, as a part of this script. */
function inTerminal(shell: string) {
  const words = cliCommand([]).map((word) => `'${word}'`);
  const argv = ["sh", "-c", `banger() { ${words.join(" ")} "$@"; }\n${shell}`];
  const env = { ...cliEnvironment(daemon.env), TERM: "xterm" };
  return onTerminal(argv, { columns: 90, rows: 25, env });
}

test("lists are tables, names with -q, and the API's own document with --json", async () => {
  const text = await banger("vm", "list");
  expect(text.stderr).toBe("");
  expect(text.stdout).toStartWith("NAME      STATE     IMAGE             CPUS   MEMORY    NET");
  expect((await banger("ps", "-q")).stdout).toBe("testbox\n");
  const json = await banger("vm", "list", "--json");
  expect(JSON.parse(json.stdout)).toEqual([makeVm("testbox")]);
  expect((await banger("vm", "list", "--running", "--json")).stdout).toContain("testbox");
});

test("errors are printed once, with the exit status of their kind", async () => {
  const text = await banger("vm", "show", "nope");
  expect(text).toEqual({
    exitCode: 4,
    stdout: "",
    stderr: 'error: Cannot find "nope"\nhint: List machines with: banger vm list\n',
  });
  const json = await banger("vm", "show", "nope", "--json");
  expect(json.exitCode).toBe(4);
  expect(JSON.parse(json.stderr)).toEqual({
    error: {
      code: "not_found",
      message: 'Cannot find "nope"',
      hint: "List machines with: banger vm list",
    },
  });
});

test("vm set without a setting is an error", async () => {
  const result = await banger("vm", "set", "testbox");
  expect(result.exitCode).toBe(2);
  expect(result.stderr).toStartWith("error: nothing to change: no settings given\n");
});

test("what is done to several is tried for all of them", async () => {
  daemon.vms.set("other", makeVm("other"));
  const { exitCode, stdout, stderr } = await banger("vm", "rm", "testbox", "nope", "other");
  expect(exitCode).toBe(4);
  expect(stdout.trim().split("\n").sort()).toEqual(["other", "testbox"]);
  expect(stderr).toContain('error: Cannot find "nope"');
  expect(daemon.vms.size).toBe(0);
});

test("long work tells its steps on stderr and its noun on stdout", async () => {
  const { exitCode, stdout, stderr } = await banger(
    "kernel",
    "pull",
    "debian-6.12",
    "--progress=plain",
  );
  expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: "debian-6.12\n" });
  expect(stderr).toMatch(/^Downloading layer {2}50 B {2}\d+ms\n$/);
  const silent = await banger("kernel", "pull", "debian-6.12");
  expect(silent).toEqual({ exitCode: 0, stdout: "debian-6.12\n", stderr: "" });
  const quiet = await banger("kernel", "pull", "debian-6.12", "-q");
  expect(quiet).toEqual({ exitCode: 0, stdout: "debian-6.12\n", stderr: "" });
  const json = await banger("kernel", "pull", "debian-6.12", "--json");
  expect(JSON.parse(json.stdout)).toMatchObject({ name: "debian-6.12" });
});

test("^C cancels the work in the daemon and says so in one line", async () => {
  const { child, printed, ended } = start(["kernel", "pull", "endless"]);
  await until(() => daemon.streams > 0);
  child.kill("SIGINT");
  await ended;
  expect(child.exitCode).toBe(130);
  expect(printed.stderr).toBe("cancelled\n");
  await until(() => daemon.streams === 0);
});

test("^C on a terminal gives the cursor back", async () => {
  const { child, screen, ended } = inTerminal("banger kernel pull endless; echo status $?");
  await until(() => screen.text.includes("Downloading"));
  child.terminal?.write("\x03");
  await ended;
  expect(screen.text).toContain("\x1b[?25h");
  expect(screen.text).toContain("cancelled");
  await until(() => daemon.streams === 0);
});

test("another version of the daemon is named, but not with -q", async () => {
  daemon.version = "9.9.9";
  const { exitCode, stderr } = await banger("vm", "list");
  expect(exitCode).toBe(0);
  expect(stderr).toContain("the daemon is banger 9.9.9");
  expect(stderr).toContain("banger daemon restart");
  expect((await banger("vm", "list", "-q")).stderr).toBe("");
  const exec = await banger("vm", "exec", "testbox", "--", "true");
  expect(exec.stderr).toContain("the daemon is banger 9.9.9");
  // It is no error: nothing of it is red.
  const { screen, ended } = inTerminal("banger --no-color vm list; banger vm list");
  await ended;
  expect(screen.text.match(/the daemon is banger 9/g)).toHaveLength(2);
  expect(screen.text).not.toContain("\x1b[31m");
});

test("exec keeps the streams apart and passes the exit status on", async () => {
  const result = await banger(
    "vm",
    "exec",
    "-e",
    "A=1",
    "testbox",
    "--",
    "sh",
    "-c",
    "echo $A; echo e >&2; exit 9",
  );
  expect(result).toEqual({ exitCode: 9, stdout: "1\n", stderr: "e\n" });
  const killed = await banger("exec", "testbox", "sh", "-c", "kill -KILL $$");
  expect(killed.exitCode).toBe(137);
  const nothing = await banger("vm", "exec", "testbox", "--");
  expect(nothing.exitCode).toBe(125);
  for (const words of [
    "run --cpus 0.5 x",
    "vm run --memory 96Q x",
    "exec --timeout soon testbox ls",
  ]) {
    expect([words, (await banger(...words.split(" "))).exitCode]).toEqual([words, 125]);
  }
});

test("exec passes stdin on with -i only, and all of it", async () => {
  const sent = "0123456789abcdef".repeat((2 * MiB) / 16);
  const words = ["vm", "exec", "-i", "testbox", "--", "cat"];
  const { exitCode, stdout } = await runCli(words, { env: daemon.env, stdin: sent });
  expect(exitCode).toBe(0);
  expect(stdout === sent).toBe(true);
  const without = await runCli(["vm", "exec", "testbox", "--", "cat"], {
    env: daemon.env,
    stdin: sent,
  });
  expect(without).toEqual({ exitCode: 0, stdout: "", stderr: "" });
});

test("run shows the way to the command on stderr and gives its status", async () => {
  const result = await banger(
    "vm",
    "run",
    "--memory",
    "256M",
    "debian",
    "--",
    "sh",
    "-c",
    "echo hi; exit 3",
  );
  expect(result.exitCode).toBe(3);
  expect(result.stdout).toBe("hi\n");
  expect(result.stderr).toBe("");
  expect(daemon.opened.at(-1)).toEqual({
    kind: "run",
    create: { image: "debian", memory_mib: 256 },
    exec: { argv: ["sh", "-c", "echo hi; exit 3"], stdin: false },
    keep: false,
  });
});

test("with --progress=plain, run ends its steps before the command's output", async () => {
  const run = [...cliCommand(["vm", "run", "--progress=plain", "debian", "echo", "hi"])];
  const child = Bun.spawn(["sh", "-c", '"$@" 2>&1', "sh", ...run], {
    env: cliEnvironment(daemon.env),
    stdin: "ignore",
  });
  const output = await new Response(child.stdout).text();
  expect(output).toMatch(/Booting {2}[^\n]+\nhi\n$/);
});

test("signals reach the command, and its end is told by the status", async () => {
  for (const [signal, number] of [
    ["SIGTERM", 15],
    ["SIGHUP", 1],
    ["SIGQUIT", 3],
  ] as const) {
    const { child, printed, ended } = start([
      "vm",
      "exec",
      "testbox",
      "--",
      "sh",
      "-c",
      "echo up; exec sleep 60",
    ]);
    await until(() => printed.stdout === "up\n");
    child.kill(signal);
    await ended;
    expect(child.exitCode).toBe(128 + number);
  }
});

test("a command that ignores ^C is left at the third one", async () => {
  const script = "trap 'echo got' INT; echo up; while :; do sleep 0.05; done";
  const { child, printed, ended } = start(["vm", "exec", "testbox", "--", "sh", "-c", script]);
  await until(() => printed.stdout === "up\n");
  for (let count = 1; count <= 3; count++) {
    child.kill("SIGINT");
    if (count < 3) await until(() => printed.stdout.split("got").length > count);
  }
  await ended;
  expect(child.exitCode).toBe(130);
  await until(() => daemon.sessions === 0);
});

test("a reader that goes away ends the command", async () => {
  const words = cliCommand(["vm", "exec", "testbox", "--", "yes"]).map((word) => `'${word}'`);
  const child = Bun.spawn(
    ["bash", "-c", `${words.join(" ")} | head -n 1; echo "\${PIPESTATUS[0]}"`],
    {
      env: cliEnvironment(daemon.env),
      stdout: "pipe",
      stderr: "pipe",
    },
  );
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  expect({ out, err }).toEqual({ out: "y\n141\n", err: "" });
  await until(() => daemon.sessions === 0);
});

test("-it hands the terminal over as it is, and takes it back", async () => {
  const { child, screen, ended } = inTerminal(
    "banger vm exec -it testbox -- sh -c 'stty size; stty raw -echo; echo ready; head -c 3 | od -An -tx1; exit 5'; echo status $?; stty -a",
  );
  await until(() => screen.text.includes("ready"));
  // ^C, ^D and a letter, none of which means anything on the way.
  child.terminal?.write("\x03\x04a");
  await ended;
  expect(screen.text).toContain("25 90");
  expect(screen.text).toContain("03 04 61");
  expect(screen.text).toContain("status 5");
  expect(screen.text).toMatch(/[^-]icanon/);
  expect(screen.text).toMatch(/[^-]echo /);
});

test("-it follows the size of the terminal", async () => {
  const { child, screen, ended } = inTerminal(
    "banger vm exec -it testbox -- sh -c 'trap \"stty size; exit\" WINCH; echo up; while :; do sleep 0.05; done'",
  );
  await until(() => screen.text.includes("up"));
  child.terminal?.resize(70, 20);
  await ended;
  expect(screen.text).toContain("20 70");
});

test("-it without a terminal is refused", async () => {
  const { exitCode, stderr } = await banger("vm", "exec", "-it", "testbox", "sh");
  expect(exitCode).toBe(125);
  expect(stderr).toContain("error: Cannot use -t: stdin is not a terminal\n");
});

test("logs of a console that is empty say why, and what to do, on stderr", async () => {
  const silent = makeVm("silent", "stopped");
  daemon.vms.set("silent", silent);
  const never = await banger("vm", "logs", "silent");
  expect([never.exitCode, never.stdout]).toEqual([0, ""]);
  expect(never.stderr).toMatch(
    /has not been started yet\nhint: Start it with: banger vm start silent\n$/,
  );
  daemon.vms.set("silent", { ...silent, startedAt: silent.createdAt, monitor: "firecracker" });
  const off = await banger("vm", "logs", "silent");
  expect(off.stderr).toContain('firecracker_console = "on"');
  // Which of them a stopped machine will run in is not known.
  daemon.vms.set("silent", { ...silent, startedAt: silent.createdAt, monitor: "auto" });
  expect((await banger("vm", "logs", "silent")).stderr).not.toContain("firecracker");
  daemon.vms.set("silent", { ...silent, startedAt: silent.createdAt, command: ["sleep", "1"] });
  expect((await banger("vm", "logs", "silent")).stderr).toStartWith(
    'The command of "silent" has printed nothing\n',
  );
});

test("logs are printed as text, or as documents", async () => {
  expect((await banger("vm", "logs", "testbox")).stdout).toBe("one\ntwo\n");
  const { stdout } = await banger("logs", "--json", "testbox");
  expect(stdout).toBe('{"text":"one\\n"}\n{"text":"two\\n"}\n');
});

test("settings are shown with their origins", async () => {
  const { stdout } = await runCli(["config", "show", "--json"], {
    env: { ...daemon.env, BANGER_VM_CPUS: "7" },
  });
  expect(JSON.parse(stdout)).toMatchObject({
    "vm.cpus": { value: 7, origin: "BANGER_VM_CPUS" },
    vmm: { value: "auto", origin: "default" },
  });
  const path = await banger("config", "path");
  expect(path.stdout).toBe(`${join(daemon.env["XDG_CONFIG_HOME"] ?? "", "banger/config.toml")}\n`);
});

test("^C of what is followed says nothing", async () => {
  const { child, printed, ended } = start(["vm", "logs", "-f", "testbox"]);
  await until(() => printed.stdout.includes("two"));
  child.kill("SIGINT");
  await ended;
  expect([child.exitCode, printed.stderr]).toEqual([130, ""]);
});

test("top ends on q, and at ^C, and leaves the terminal as it was", async () => {
  for (const [key, status] of [
    ["q", 0],
    ["\x03", 130],
  ] as const) {
    const { child, screen, ended } = inTerminal("banger vm top testbox; echo status $?; stty -a");
    await until(() => screen.text.includes("PID"));
    child.terminal?.write(key);
    await ended;
    expect(screen.text).toContain(`status ${status}`);
    expect(screen.text).toMatch(/(^|\s)icanon/);
    expect(screen.text).not.toContain("cancelled");
  }
});

test("prune asks on a terminal, and removes nothing without a yes", async () => {
  for (const [answer, isRemoved] of [
    ["\n", false],
    ["no\n", false],
    ["y\n", true],
  ] as const) {
    daemon.vms.set("old", makeVm("old", "stopped"));
    const { child, screen, ended } = inTerminal("banger vm prune; echo status $?");
    await until(() => screen.text.includes("Remove old and their disks? [y/N]"));
    child.terminal?.write(answer);
    await ended;
    expect(daemon.vms.has("old")).toBe(!isRemoved);
    expect(screen.text).toContain(isRemoved ? "status 0" : "status 1");
  }
});

test("exec -t without -i can be left with ^C", async () => {
  const { child, screen, ended } = inTerminal(
    `banger vm exec -t testbox -- sh -c 'trap "" INT; echo up; exec sleep 600'`,
  );
  await until(() => /up\r/.test(screen.text));
  child.terminal?.write("\x03");
  await ended;
  expect(screen.text).toContain("cancelled");
  await until(() => daemon.sessions === 0);
});

test("vm list has uptime and exit, and fits the terminal", async () => {
  const startedAt = new Date(Date.now() - 90_000).toISOString();
  const image = "registry.example/long/name".repeat(6);
  daemon.vms.clear();
  daemon.vms.set("up", { ...makeVm("up"), startedAt, image });
  const exit = { reason: "poweroff" as const, status: 3, at: startedAt };
  daemon.vms.set("down", { ...makeVm("down", "stopped"), exit });
  const { stdout } = await banger("vm", "list");
  expect(stdout).toMatch(/^up +running \d+m\d+s /m);
  expect(stdout).toMatch(/^down +stopped, exit 3 /m);
  expect(stdout).toContain(image);
  const { screen, ended } = inTerminal("banger vm list");
  await ended;
  const columns = screen.text.split("\r\n").map((line) => Bun.stringWidth(line));
  expect(Math.max(...columns)).toBeLessThanOrEqual(90);
  expect(screen.text).toContain("…");
});

test("a workspace that does not exist is told before a machine is created", async () => {
  for (const words of [
    ["vm", "create"],
    ["vm", "run"],
    ["agent", "run"],
  ]) {
    const what = words[0] === "agent" ? "codex" : "debian";
    const { exitCode, stderr } = await banger(...words, "--workspace", "/nonexistent", what);
    expect(stderr).toContain('"/nonexistent"');
    expect(exitCode).not.toBe(0);
  }
  expect([...daemon.vms.keys()]).toEqual(["testbox"]);
});
