import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cliCommand, cliEnvironment, runCli } from "#test/cli.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { type Reaper, startReaper } from "#test/reaper.ts";
import { kvmState } from "#vmm/host.ts";
import { formatLogLine, lastLines } from "./log-lines.ts";

// For a run of several files, of which only the first has the default of its own.
setDefaultTimeout(LIMIT_MS);

let folder: string;
let reaper: Reaper;
let env: Record<string, string>;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-start-"));
  reaper = startReaper(folder);
  env = {
    HOME: folder,
    XDG_RUNTIME_DIR: join(folder, "run"),
    XDG_STATE_HOME: join(folder, "state"),
    XDG_CONFIG_HOME: join(folder, "config"),
    XDG_CACHE_HOME: join(folder, "cache"),
  };
});
afterEach(async () => {
  await banger("daemon", "stop");
  rmSync(folder, { recursive: true, force: true });
  reaper[Symbol.dispose]();
});

const banger = (...words: string[]) => runCli(words, { env });
const pidOf = async () => JSON.parse((await banger("daemon", "status", "--json")).stdout).pid;

test("a command starts the daemon, and only what asks for it ends it", async () => {
  const before = await banger("daemon", "status");
  expect(before.exitCode).toBe(7);
  expect(before.stderr).toContain("hint: Start it with: banger daemon start");
  expect(await banger("vm", "list", "--json")).toEqual({ exitCode: 0, stdout: "[]\n", stderr: "" });
  const pid = await pidOf();
  expect((await banger("daemon", "start")).stdout).toBe(`Daemon already running (PID ${pid})\n`);
  expect((await banger("daemon", "restart")).exitCode).toBe(0);
  expect(await pidOf()).not.toBe(pid);
  const logs = await banger("daemon", "logs");
  expect(logs.stdout.match(/INFO banger .* listens on/g)).toHaveLength(2);
  expect((await banger("daemon", "stop")).stdout).toBe("The daemon has ended\n");
  expect((await banger("daemon", "status")).exitCode).toBe(7);
  expect((await banger("daemon", "stop")).stdout).toBe("Daemon not running\n");
});

test("what has nothing to do with a home works without one", async () => {
  const commands = ["version", "help", "vm run --help", "completion zsh"];
  for (const HOME of ["relative", "/nowhere"]) {
    for (const command of commands) {
      const { exitCode, stderr } = await runCli(command.split(" "), { env: { HOME } });
      expect([command, exitCode, stderr]).toEqual([command, 0, ""]);
    }
  }
  const { stderr } = await runCli(["vm", "list"], { env: { HOME: "relative" } });
  expect(stderr).toStartWith('error: invalid HOME "relative": not an absolute path');
});

test("what is missing is told before where it would go to", async () => {
  const { stderr } = await banger("kernel", "publish", "NOPE");
  expect(stderr).toStartWith('error: no such kernel "NOPE"\n');
  writeFileSync(join(folder, "bzImage"), "x");
  const from = ["--from", join(folder, "bzImage")];
  const bad = await banger("kernel", "import", "mine", ...from, "--distro", "Bad_Distro");
  expect(bad.stderr).toStartWith(
    "error: invalid value for --distro: distribution names can contain",
  );
});

test("a value out of bounds is told with the flag that was typed, and in its unit", async () => {
  for (const command of ["create", "run"]) {
    const { stderr } = await banger("vm", command, "-m", "1", "alpine");
    expect(stderr).toStartWith("error: invalid value for --memory: must be at least 64 MiB\n");
  }
  const { stderr } = await banger("vm", "stop", "--grace", "2d", "box");
  expect(stderr).toStartWith("error: invalid value for --grace: must be at most 1h0m\n");
});

test("config show and kernel default say what a machine gets here", async () => {
  const config = JSON.parse((await banger("config", "show", "--json")).stdout);
  const isEmulated = !kvmState().usable;
  expect(config["vm.cpus"].value).toBe(isEmulated ? 1 : 2);
  const set = await runCli(["config", "show"], { env: { ...env, BANGER_VM_CPUS: "2" } });
  expect(set.stdout).toMatch(/^vm\.cpus +2 +BANGER_VM_CPUS$/m);
  const kernel = await banger("kernel", "default", "--json");
  expect(JSON.parse(kernel.stdout)).toEqual({ name: "debian-6.12", origin: "configuration" });
  expect((await banger("kernel", "default")).stdout).toBe("debian-6.12\n");
});

test("doctor fails where nothing is writable", async () => {
  // Nobody may create anything there, not even root.
  const nowhere = { ...env, XDG_STATE_HOME: "/proc/self/nothing" };
  const { exitCode, stdout, stderr } = await runCli(["doctor"], { env: nowhere });
  expect(exitCode).toBe(1);
  expect(stdout).toMatch(/✗ State directory .*\/proc\/self\/nothing\/banger is not writable/);
  expect(stderr).toContain("Machines cannot run");
});

test("commands that come at once share one daemon", async () => {
  const results = await Promise.all([1, 2, 3, 4].map(() => banger("vm", "list", "-q")));
  expect(results).toEqual(results.map(() => ({ exitCode: 0, stdout: "", stderr: "" })));
  const logs = await banger("daemon", "logs");
  expect(logs.stdout.match(/listens on/g)).toHaveLength(1);
});

test("the socket of a daemon that was killed is no hindrance", async () => {
  await banger("daemon", "start");
  const pid = await pidOf();
  process.kill(pid, "SIGKILL");
  expect(existsSync(join(folder, "run/banger/daemon.sock"))).toBe(true);
  expect((await banger("vm", "list", "-q")).exitCode).toBe(0);
  const next = await pidOf();
  expect(next).not.toBe(pid);
  process.kill(next, "SIGKILL");
  const { exitCode, stderr } = await banger("vm", "exec", "nobody", "--", "true");
  expect([exitCode, stderr]).toEqual([125, expect.stringContaining('"nobody"')]);
  expect(await pidOf()).not.toBe(next);
});

test("one daemon for a state folder, whatever XDG_RUNTIME_DIR is", async () => {
  await banger("daemon", "start");
  const pid = await pidOf();
  const { XDG_RUNTIME_DIR: _, ...without } = env;
  const nothing = { XDG_RUNTIME_DIR: "" };
  for (const other of [
    { ...without, ...nothing },
    { ...env, XDG_RUNTIME_DIR: join(folder, "b") },
  ]) {
    const status = await runCli(["daemon", "status", "--json"], { env: other });
    expect(JSON.parse(status.stdout).pid).toBe(pid);
    expect(await runCli(["vm", "list", "-q"], { env: other })).toMatchObject({ exitCode: 0 });
    // A WebSocket finds it as well.
    const exec = await runCli(["vm", "exec", "nobody", "true"], { env: other });
    expect(exec.stderr).toContain('"nobody"');
  }
  const stopped = await runCli(["daemon", "stop"], { env: { ...without, ...nothing } });
  expect(stopped.stdout).toBe("The daemon has ended\n");
  expect((await banger("daemon", "stop")).stdout).toBe("Daemon not running\n");
});

test("a daemon whose socket is lost makes it anew", async () => {
  await banger("daemon", "start");
  const pid = await pidOf();
  rmSync(join(folder, "run"), { recursive: true });
  expect((await banger("vm", "list", "-q")).exitCode).toBe(0);
  expect(await pidOf()).toBe(pid);
  expect(existsSync(join(folder, "run/banger/daemon.sock"))).toBe(true);
  // What takes the folder's place lets nobody make one.
  rmSync(join(folder, "run"), { recursive: true });
  writeFileSync(join(folder, "run"), "");
  const { stderr } = await banger("vm", "exec", "nobody", "true");
  expect(stderr).toContain('"nobody"');
  expect(await pidOf()).toBe(pid);
  expect(existsSync(join(folder, "state/banger/run/daemon.sock"))).toBe(true);
  rmSync(join(folder, "state/banger/run"), { recursive: true });
  expect((await banger("daemon", "stop")).stdout).toBe("The daemon has ended\n");
  expect((await banger("daemon", "stop")).stdout).toBe("Daemon not running\n");
});

test("a configuration that no daemon starts with ends none", async () => {
  await banger("daemon", "start");
  const pid = await pidOf();
  mkdirSync(join(folder, "config/banger"), { recursive: true });
  const bad = [
    'vmm = "nonsense"',
    "vmm = ",
    '[network]\nsubnet = "10.0.0.0/33"',
    '[registry]\nmirrors = ["a b"]',
    '[kernel]\ncatalogs = ["x"]',
  ];
  for (const text of bad) {
    writeFileSync(join(folder, "config/banger/config.toml"), `${text}\n`);
    const { exitCode, stderr } = await banger("daemon", "restart");
    expect([text, exitCode]).toEqual([text, 2]);
    expect(stderr).toStartWith("error: Cannot restart the daemon: ");
  }
  expect(await pidOf()).toBe(pid);
});

test("a daemon that does not answer is named while it is waited for", async () => {
  await banger("daemon", "start");
  const pid = await pidOf();
  process.kill(pid, "SIGSTOP");
  const child = Bun.spawn(cliCommand(["vm", "list"]), {
    env: cliEnvironment(env),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  let text = "";
  for await (const chunk of child.stderr) {
    text += new TextDecoder().decode(chunk);
    if (text.includes("...")) process.kill(pid, "SIGCONT");
  }
  expect(text).toBe(`Waiting for the daemon (PID ${pid}) ...\n`);
  expect(await child.exited).toBe(0);
});

test("a daemon that cannot start is shown with its last words", async () => {
  mkdirSync(join(folder, "config/banger"), { recursive: true });
  writeFileSync(join(folder, "config/banger/config.toml"), 'vmm = "nonsense"\n');
  const { exitCode, stderr } = await banger("vm", "list");
  expect(exitCode).toBe(7);
  expect(stderr).toContain("error: Cannot start the daemon: it exited immediately; its log:");
  expect(stderr).toContain("must be one of auto, firecracker, qemu");
});

test("daemon logs -f goes on with what is added", async () => {
  const log = join(folder, "state/banger/daemon.log");
  mkdirSync(join(folder, "state/banger"), { recursive: true });
  writeFileSync(log, "first\nsecond\n");
  const child = Bun.spawn(cliCommand(["daemon", "logs", "-f", "-n", "1"]), {
    env: cliEnvironment(env),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  let text = "";
  for await (const chunk of child.stdout) {
    text += new TextDecoder().decode(chunk);
    if (text === "second\n") writeFileSync(log, "first\nsecond\nthird\n");
    if (text.includes("third")) child.kill("SIGINT");
  }
  expect(await new Response(child.stderr).text()).toBe("");
  await child.exited;
  expect(text).toBe("second\nthird\n");
  expect(child.exitCode).toBe(130);
});

test("daemon enable --print prints a unit that systemd takes, with the folders of now", async () => {
  const { stdout, exitCode } = await banger("daemon", "enable", "--print");
  expect(exitCode).toBe(0);
  expect(stdout).toContain(`Environment="XDG_STATE_HOME=${folder}/state"\n`);
  expect(stdout).toMatch(/^Type=notify\nExecStart=".+" "daemon" "run"$/m);
  // Without it a stop of the unit would take the machines along.
  expect(stdout).toContain("KillMode=process\nDelegate=yes\n");
});

test("formatLogLine() shows a record's time, level and message, and nothing that moves a cursor", () => {
  const record = { "@timestamp": "T", level: "WARN", message: "m\u001b[2J", logger: "x" };
  expect(formatLogLine(JSON.stringify(record))).toBe("T WARN m");
  const called = { ...record, message: "done", properties: { call: "a1b2" } };
  expect(formatLogLine(JSON.stringify(called))).toBe("T WARN [a1b2] done");
  expect(formatLogLine("plain\u0007")).toBe("plain");
  expect(formatLogLine("{broken")).toBe("{broken");
});

test("lastLines() begins where it is told", () => {
  const path = join(folder, "log");
  writeFileSync(path, "one\ntwo\nthree\n");
  expect(lastLines(path, 2)).toEqual(["two", "three"]);
  expect(lastLines(path, 9, 4)).toEqual(["two", "three"]);
  expect(lastLines(path, 0)).toEqual([]);
  expect(lastLines(join(folder, "none"), 5)).toEqual([]);
  expect(readFileSync(path, "utf8")).toHaveLength(14);
});
