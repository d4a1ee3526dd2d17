import { expect, setDefaultTimeout, test } from "bun:test";
import { BangerError } from "#base/error.ts";
import { runCli } from "#test/cli.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { loaderOf } from "./handlers.ts";
import { parseCommand } from "./parse.ts";
import { commandAt, type Invocation, makeProgram } from "./program.ts";
import { root, shortcuts } from "./spec/root.ts";
import type { Node } from "./spec/types.ts";
import { commandsMeant } from "./usage.ts";

// For a run of several files, of which only the first has the default of its own.
setDefaultTimeout(LIMIT_MS);

/** The path of every command there is. */
function leaves(node: Node = root, path: string[] = []): string[][] {
  if (node.kind === "command") return [path];
  return Object.entries(node.commands).flatMap(([name, each]) => leaves(each, [...path, name]));
}

function parse(...words: string[]): Invocation {
  let found: Invocation | undefined;
  makeProgram(words, (invocation) => {
    found = invocation;
  }).parse(words, { from: "user" });
  if (!found) throw new Error("no command was found");
  return found;
}

test("every command has a handler, examples and help that shows them", async () => {
  for (const path of leaves()) {
    const spec = commandAt(path);
    expect(spec.examples.length).toBeGreaterThan(0);
    const { run } = await loaderOf(path)();
    expect(run).toBeFunction();
    let help = "";
    const program = makeProgram(path, () => {});
    const command = path.reduce(
      (parent, name) => parent.commands.find((each) => each.name() === name) ?? parent,
      program,
    );
    const writeOut = (text: string): void => {
      help += text;
    };
    command.configureOutput({ writeOut }).outputHelp();
    expect(help).toContain(`Usage: banger ${path.join(" ")}`);
    for (const example of spec.examples) expect(help).toContain(example);
  }
});

test("a global flag counts before its command as well, and its value is no command", () => {
  for (const words of [
    ["--progress", "plain", "vm", "list"],
    ["vm", "--progress", "plain", "list"],
    ["vm", "list", "--progress=plain"],
    ["--progress", "plain", "ls"],
  ]) {
    expect(parse(...words)).toMatchObject({ path: ["vm", "list"], progress: "plain" });
  }
});

test("every shortcut means a command", () => {
  for (const [name, path] of Object.entries(shortcuts)) {
    const spec = commandAt(path);
    const words = Object.values(spec.args).some(({ count }) => count === "one" || count === "some")
      ? [name, "x", "y"]
      : [name];
    if (Object.values(spec.args)[0]?.count === "one" && Object.keys(spec.args).length === 1) {
      words.length = 2;
    }
    expect(parse(...words).path).toEqual([...path]);
  }
});

test("flags become values, wherever the global ones stand", () => {
  const { path, flags, json } = parse(
    ...["--json", "vm", "create", "--image", "debian", "-m", "2G", "--disk", "10G"],
    ...["--cpus", "4", "--nat", "-e", "A=1", "-e", "B=2", "--no-start"],
  );
  expect(path).toEqual(["vm", "create"]);
  expect(json).toBe(true);
  expect(flags).toMatchObject({
    image: "debian",
    memory: 2048,
    disk: 10 * 1024 ** 3,
    cpus: 4,
    nat: true,
    net: undefined,
    env: ["A=1", "B=2"],
    noStart: true,
  });
  expect(parse("vm", "create").flags).toMatchObject({ nat: false, noStart: false, env: [] });
  expect(parse("vm", "--json", "list").json).toBe(true);
  expect(parse("vm", "list", "-q", "--no-color")).toMatchObject({ quiet: true, noColor: true });
});

test("what follows the image or the machine is the command's own", () => {
  expect(parse("run", "debian", "ls", "-la", "--json")).toMatchObject({
    json: false,
    args: { image: "debian", command: ["ls", "-la", "--json"] },
  });
  expect(parse("vm", "run", "-it", "debian", "--", "sh").args["command"]).toEqual(["sh"]);
  expect(parse("vm", "exec", "box", "--", "--", "x").args["command"]).toEqual(["--", "x"]);
  // ssh is told itself where its options end.
  expect(parse("vm", "ssh", "box", "--", "-v").args["rest"]).toEqual(["--", "-v"]);
  expect(parse("vm", "ssh", "box").args["rest"]).toEqual([]);
});

test("a value that cannot be read names its flag", () => {
  const attempt = () => parse("vm", "create", "--memory", "lots");
  expect(attempt).toThrow(BangerError);
  expect(attempt).toThrow('invalid value for --memory: invalid size "lots"');
});

test("mistakes are said in one sentence, with what was meant", async () => {
  const said = async (...words: string[]) => (await runCli(words, { env: {} })).stderr;
  expect(await said("vm", "craete")).toBe(
    'error: unknown command "craete"\nhint: Did you mean "banger vm create"?\n',
  );
  expect(await said("vm", "list", "--jsn")).toBe(
    'error: unknown option "--jsn"\nhint: Did you mean "--json"?\n',
  );
  expect(await said("vm", "workspace", "pull", "x")).toEndWith(
    'hint: Did you mean "banger vm workspace fetch"?\n',
  );
  expect(await said("vm", "workspace", "checkpoint", "x", "--checkpoint-every", "5m")).toEndWith(
    "hint: Use --every 5m\n",
  );
  expect(await said("vm", "rm")).toContain("hint: See usage with: banger vm rm --help\n");
  expect(await said("run", "--net", "bridge", "x")).toEndWith("hint: Use --net nat\n");
  expect(await said("run", "--restart=unless-stopped", "x")).toContain(
    "hint: Use --restart always",
  );
  expect(await said("ps", "--format", "x")).toContain("--json");
  expect(await said("config", "set", "vmm", "qemu")).toContain("banger config path");
  expect(await said("config", "ls")).toEndWith(
    "hint: Show the settings with: banger config show\n",
  );
  const { exitCode, stderr } = await runCli(["nonsense", "--json"], { env: {} });
  expect(exitCode).toBe(2);
  expect(JSON.parse(stderr)).toMatchObject({ error: { code: "invalid_argument" } });
});

test("what may have been meant is looked for in the whole tree, and nothing that destroys is", () => {
  const there: Record<string, string[]> = {
    cp: ["vm cp"],
    build: ["image build", "kernel build"],
    push: ["image push"],
    top: ["vm top"],
    stats: ["vm stats"],
    port: ["vm port"],
    attach: ["vm volume attach", "vm session attach"],
    up: ["vm start"],
    biuld: ["image build", "kernel build"],
    craete: ["create"],
    // What was typed itself is no guess.
    prune: ["vm prune", "volume prune"],
  };
  for (const [word, meant] of Object.entries(there)) {
    expect([word, commandsMeant(word, [])]).toEqual([word, meant]);
  }
  expect(commandsMeant("pul", ["kernel"])).toEqual(["kernel pull"]);
  expect(commandsMeant("build", ["vm"])).toEqual(["image build", "kernel build"]);
  const destructive = /(^| )(rm|rmi|prune|kill|gc|unpublish|stop|disable|remove|delete)$/;
  const slips = ["up", "pause", "pruen", "kil", "rmm", "gcc", "stpo", "delte", "remvoe", "r", "rn"];
  const offered = slips.flatMap((word) =>
    [[], ["vm"], ["image"]].flatMap((path) => commandsMeant(word, path)),
  );
  expect(offered.filter((line) => destructive.test(line))).toEqual([]);
});

test("docker's form of port lists ports", () => {
  const meant = (...words: string[]) => parseCommand(words).invocation;
  expect(meant("vm", "port", "box")).toMatchObject({ path: ["vm", "port", "list"] });
  expect(meant("vm", "port", "box", "80/tcp")).toMatchObject({
    path: ["vm", "port", "list"],
    args: { vm: "box", port: "80/tcp" },
  });
  expect(meant("vm", "port", "add", "box", "80:80")?.path).toEqual(["vm", "port", "add"]);
  expect(() => meant("vm", "port", "lst", "box")).toThrow('unknown command "lst"');
});

test("help and version are where other programs have them", async () => {
  for (const words of [[], ["vm"], ["--help"], ["help", "vm", "run"], ["run", "--help"]]) {
    const { exitCode, stdout, stderr } = await runCli(words, { env: {} });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toStartWith("Usage: banger");
  }
  const { stdout } = await runCli(["--version"], { env: {} });
  expect(stdout).toStartWith("banger 0.");
});

test("options behind the name of a secret are options, and a value there is not taken for a command", async () => {
  expect(parse("secret", "set", "TOKEN", "--file", "x", "--ttl", "1m")).toMatchObject({
    flags: { file: "x", ttl: 60_000 },
    args: { command: [] },
  });
  const command = ["gh", "auth", "token", "--user", "me"];
  expect(parse("secret", "set", "TOKEN", "--", ...command).args).toMatchObject({ command });
  const words = ["secret", "set", "TOKEN", "ghp-the-value-itself"];
  const { exitCode, stderr } = await runCli(words, { env: {} });
  expect([exitCode, stderr]).toEqual([
    2,
    expect.stringContaining("no such command for the secret"),
  ]);
  expect(stderr).not.toContain("ghp-the-value-itself");
});
