import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { cliCommand, runCli } from "#test/cli.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { type LocalDaemon, makeVm, startLocalDaemon } from "#test/local-daemon.ts";
import { testNeeding } from "#test/needs.ts";
import { complete } from "./complete.ts";

// For a run of several files, of which only the first has the default of its own.
setDefaultTimeout(LIMIT_MS);

const TRIES = 20;

let daemon: LocalDaemon;
beforeAll(async () => {
  daemon = await startLocalDaemon();
  daemon.vms.set("other", makeVm("other", "stopped"));
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
});

const values = (words: string[], current = "") =>
  complete(words, current)
    .candidates.map(({ value }) => value)
    .filter((value) => value.startsWith(current));

test("complete() knows commands, flags, choices and whose names are wanted", () => {
  expect(values([], "ver")).toEqual(["version"]);
  expect(values(["vm"], "sto")).toEqual(["stop"]);
  expect(values(["vm", "create"], "--me")).toEqual(["--memory"]);
  expect(values(["vm", "create", "--mode"])).toEqual(["direct", "systemd"]);
  expect(complete(["vm", "create", "--image"], "")).toMatchObject({ names: { kind: "image" } });
  expect(complete(["vm", "create"], "--image=deb")).toMatchObject({ names: { kind: "image" } });
  expect(complete(["vm", "stop", "one"], "")).toMatchObject({ names: { kind: "vm" } });
  expect(complete(["kernel", "pull"], "")).toMatchObject({ names: { kind: "catalog" } });
  expect(complete(["kernel", "import", "--from"], "")).toMatchObject({ isPath: true });
  expect(complete(["ps", "-q"], "--run").candidates.map(({ value }) => value)).toContain(
    "--running",
  );
});

test("complete() offers no path of the host where one of the guest is meant", () => {
  expect(complete(["vm", "exec", "-u", "root"], "")).toMatchObject({ names: { kind: "vm" } });
  const nothing = { candidates: [] };
  expect(complete(["vm", "exec", "box"], "--he")).toEqual(nothing);
  expect(complete(["vm", "exec", "box", "ls", "-u"], "l")).toEqual(nothing);
  expect(complete(["run", "debian"], "l")).toEqual(nothing);
  expect(complete(["nonsense"], "").candidates).toEqual([]);
  const file = { kind: "file" as const, vm: "box", path: "/et", prefix: "" };
  expect(complete(["vm", "exec", "-it", "box", "cat"], "/et")).toEqual({ ...nothing, names: file });
  expect(complete(["vm", "file", "cat"], "box:/et")).toEqual({
    ...nothing,
    names: { ...file, prefix: "box:" },
  });
  expect(complete(["vm", "file", "rm", "box:/a"], "te")).toMatchObject({
    names: { kind: "vm", suffix: ":" },
  });
  expect(complete(["vm", "cp", "x"], "box:/et")).toEqual({
    ...nothing,
    names: { ...file, prefix: "box:" },
  });
  expect(complete(["vm", "cp"], "./")).toEqual({ ...nothing, isPath: true });
  expect(complete(["vm", "session", "attach", "box"], "")).toMatchObject({
    names: { kind: "session", vm: "box" },
  });
  expect(values(["vm", "session", "signal", "box", "build"], "T")).toEqual(["TERM", "TSTP"]);
});

test("names come from a daemon that runs, and none is started for them", async () => {
  const { stdout } = await runCli(["complete", "--", "vm", "ssh", ""], { env: daemon.env });
  expect(stdout).toBe("testbox\trunning, debian-bookworm\nother\tstopped, debian-bookworm\n:4\n");
  const elsewhere = { ...daemon.env, XDG_RUNTIME_DIR: join(daemon.folder, "elsewhere") };
  const none = await runCli(["complete", "--", "vm", "ssh", ""], { env: elsewhere });
  expect(none).toEqual({ exitCode: 0, stdout: ":4\n", stderr: "" });
  expect(existsSync(join(daemon.folder, "elsewhere", "banger", "daemon.sock"))).toBe(false);
});

/** A `banger` on PATH, for the scripts call the program by its name. */
function pathWithBanger(): string {
  const bin = join(daemon.folder, "bin");
  mkdirSync(bin, { recursive: true });
  const words = cliCommand([]).map((word) => `'${word}'`);
  writeFileSync(join(bin, "banger"), `#!/bin/sh\nexec ${words.join(" ")} "$@"\n`, { mode: 0o755 });
  return `${bin}${delimiter}${process.env["PATH"]}`;
}

interface Shell {
  argv: string[];
  /** Loads the script, and binds ^X^P to what prints the line as "LINE[…]" and empties it. */
  setUp: string[];
}

/** Each with nothing of its own but the script. */
const shells: Record<"bash" | "zsh" | "fish", Shell> = {
  bash: {
    argv: ["bash", "--noprofile", "--norc", "-i"],
    setUp: [
      "source <(banger completion bash); source <(banger completion bash)",
      `bind 'set bell-style none'; bind -x '"\\C-x\\C-p": printf "\\nLI%s[%s]\\n" NE "$READLINE_LINE"; READLINE_LINE='`,
    ],
  },
  zsh: {
    argv: ["zsh", "-f", "-i"],
    setUp: [
      "autoload -U compinit; compinit -u -D; source <(banger completion zsh)",
      `show() { zle -I; printf '\\nLI%s[%s]\\n' NE "$BUFFER"; BUFFER= }; zle -N show; bindkey '^X^P' show; unsetopt beep`,
    ],
  },
  fish: {
    argv: ["fish", "--no-config", "-i"],
    setUp: [
      "banger completion fish | source",
      `bind \\cx\\cp 'printf "\\nLI%s[%s]\\n" NE (commandline); commandline ""'`,
    ],
  },
};

/** A shell on a terminal. */
interface Typist extends Disposable {
  /** The line after TAB was pressed at its end. */
  type(line: string): Promise<string>;
}

async function openShell(name: keyof typeof shells): Promise<Typist> {
  const { argv, setUp } = shells[name];
  let screen = "";
  const changed: (() => void)[] = [];
  const child = Bun.spawn(argv, {
    cwd: daemon.folder,
    env: { ...process.env, ...daemon.env, PATH: pathWithBanger(), PS1: "> ", TERM: "xterm" },
    terminal: {
      cols: 200,
      rows: 30,
      data(_, bytes) {
        screen += new TextDecoder().decode(bytes);
        for (const wake of changed.splice(0)) wake();
      },
    },
  });
  const until = async (pattern: RegExp): Promise<string> => {
    for (;;) {
      const found = pattern.exec(screen)?.[1];
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => changed.push(resolve));
    }
  };
  for (const command of [...setUp, `printf 'READ%s.\\n' Y`]) child.terminal?.write(`${command}\r`);
  await until(/(READY\.)/);
  return {
    async type(line) {
      screen = "";
      child.terminal?.write(`${line}\t\x18\x10`);
      return await until(/LINE\[([^\]]*)\]/);
    },
    [Symbol.dispose]() {
      child.kill("SIGKILL");
      child.terminal?.close();
    },
  };
}

/** Again where nothing came: names are not offered while a busy computer's daemon takes long to answer. */
async function completedIn(name: keyof typeof shells, lines: Record<string, string>) {
  using shell = await openShell(name);
  const completed: Record<string, string> = {};
  for (const [line, wanted] of Object.entries(lines)) {
    completed[line] = await shell.type(line);
    for (let tries = 0; completed[line] === line && wanted !== line && tries < TRIES; tries++) {
      completed[line] = await shell.type(line);
    }
  }
  return completed;
}

for (const shell of ["zsh", "fish"] as const) {
  testNeeding(shell)(
    `${shell} completes commands, names, values and paths of machines`,
    async () => {
      writeFileSync(join(daemon.folder, "host-file"), "");
      const lines: Record<string, string> = {
        "banger vers": "banger version ",
        "banger vm sto": "banger vm stop ",
        "banger vm ssh te": "banger vm ssh testbox ",
        "banger vm create --mode d": "banger vm create --mode direct ",
        "banger vm create --mode=d": "banger vm create --mode=direct ",
        "banger vm session attach testbox b": "banger vm session attach testbox build ",
        "banger vm file cat te": "banger vm file cat testbox:",
        "banger vm file cat testbox:/e": "banger vm file cat testbox:/etc/",
        "banger vm cp testbox:/gu": "banger vm cp testbox:/guest-file ",
        "banger vm cp host-f": "banger vm cp host-file ",
        "banger vm exec testbox cat /e": "banger vm exec testbox cat /etc/",
        "banger vm exec testbox cat host-f": "banger vm exec testbox cat host-f",
      };
      expect(await completedIn(shell, lines)).toEqual(lines);
    },
  );
}

test("bash completes commands, names, values and paths of machines, with no other package", async () => {
  writeFileSync(join(daemon.folder, "host-file"), "");
  const lines: Record<string, string> = {
    "banger vers": "banger version ",
    "banger vm ssh te": "banger vm ssh testbox ",
    "banger vm create --mode=d": "banger vm create --mode=direct ",
    "banger vm session attach testbox b": "banger vm session attach testbox build ",
    "banger vm file cat te": "banger vm file cat testbox:",
    "banger vm file cat testbox:/e": "banger vm file cat testbox:/etc/",
    "banger vm file cat testbox:/etc/": "banger vm file cat testbox:/etc/passwd ",
    "banger vm cp host-f": "banger vm cp host-file ",
    "banger vm cp testbox:/gu": "banger vm cp testbox:/guest-file ",
    // The host has such a file, the machine has not.
    "banger vm exec testbox cat host-f": "banger vm exec testbox cat host-f",
    "banger vm exec testbox cat /e": "banger vm exec testbox cat /etc/",
    "banger run debian:bookworm host-f": "banger run debian:bookworm host-f",
  };
  expect(await completedIn("bash", lines)).toEqual(lines);
});

for (const shell of ["bash", "zsh", "fish"] as const) {
  testNeeding(shell)(`${shell} runs nothing of what is being typed`, async () => {
    const mark = join(daemon.folder, `ran-${shell}`);
    using typist = await openShell(shell);
    await typist.type(`banger vm exec $(touch ${mark}) `);
    // zsh itself, whose TAB expands, runs what is at the cursor.
    const space = shell === "zsh" ? " " : "";
    if (shell !== "fish") await typist.type(`banger vm ssh \`touch ${mark}\`${space}`);
    expect(existsSync(mark)).toBe(false);
  });
}

test("the scripts are what their shells can read", async () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    const { exitCode, stdout } = await runCli(["completion", shell], { env: daemon.env });
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/(banger|"\$\{words\[0\]\}") complete --/);
    const program = Bun.which(shell);
    expect(stdout).not.toContain("_get_comp_words_by_ref");
    if (!program) continue;
    const check = Bun.spawnSync([program, "-n"], { stdin: Buffer.from(stdout) });
    expect(check.stderr.toString()).toBe("");
  }
  const { exitCode, stderr } = await runCli(["completion", "bsh"], { env: daemon.env });
  expect(exitCode).toBe(2);
  expect(stderr).toContain('hint: Did you mean "bash"');
});
