import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { cliCommand, runCli } from "#test/cli.ts";
import { type LocalDaemon, makeVm, startLocalDaemon } from "#test/local-daemon.ts";
import { complete } from "./complete.ts";

// Each starts programs, on computers that may be busy.
setDefaultTimeout(60_000);

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
  expect(complete(["vm", "create", "--image"], "")).toMatchObject({ names: "image" });
  expect(complete(["vm", "create"], "--image=deb")).toMatchObject({ names: "image" });
  expect(complete(["vm", "stop", "one"], "")).toMatchObject({ names: "vm" });
  expect(complete(["kernel", "pull"], "")).toMatchObject({ names: "catalog" });
  expect(complete(["kernel", "import", "--from"], "")).toMatchObject({ isPath: true });
  expect(complete(["ps", "-q"], "--run").candidates.map(({ value }) => value)).toContain(
    "--running",
  );
});

test("complete() leaves to the shell what belongs to a command in a machine", () => {
  expect(complete(["vm", "exec", "-u", "root"], "")).toMatchObject({ names: "vm" });
  expect(complete(["vm", "exec", "box"], "--he")).toEqual({ candidates: [], isPath: true });
  expect(complete(["run", "debian"], "l")).toEqual({ candidates: [], isPath: true });
  expect(complete(["nonsense"], "").candidates).toEqual([]);
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

/** What bash would offer for a line, by calling what its completion calls. */
async function inBash(...words: string[]): Promise<string> {
  const script = `
    _get_comp_words_by_ref() {
      cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}"
      words=("\${COMP_WORDS[@]}") cword=$COMP_CWORD
    }
    compopt() { :; }
    source <(banger completion bash)
    source <(banger completion bash)
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    __banger_complete
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const child = Bun.spawn(["bash", "-c", script, "bash", ...words], {
    env: { ...process.env, ...daemon.env, PATH: pathWithBanger() },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  expect(err).toBe("");
  return out.trim();
}

test("bash completes commands, names and values behind an equals sign", async () => {
  expect(await inBash("banger", "vers")).toBe("version");
  expect(await inBash("banger", "vm", "ssh", "")).toBe("testbox\nother");
  expect(await inBash("banger", "vm", "ssh", "te")).toBe("testbox");
  expect(await inBash("banger", "vm", "create", "--mode=d")).toBe("direct");
});

test("bash runs nothing of what is being typed", async () => {
  const mark = join(daemon.folder, "ran");
  await inBash("banger", "vm", "exec", `$(touch ${mark})`, "");
  await inBash("banger", "vm", "ssh", `\`touch ${mark}\``);
  expect(existsSync(mark)).toBe(false);
});

test("the scripts are what their shells can read", async () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    const { exitCode, stdout } = await runCli(["completion", shell], { env: daemon.env });
    expect(exitCode).toBe(0);
    expect(stdout).toContain("banger complete --");
    const program = Bun.which(shell);
    if (!program) continue;
    const check = Bun.spawnSync([program, "-n"], { stdin: Buffer.from(stdout) });
    expect(check.stderr.toString()).toBe("");
  }
  const { exitCode, stderr } = await runCli(["completion", "bsh"], { env: daemon.env });
  expect(exitCode).toBe(2);
  expect(stderr).toContain('hint: Did you mean "bash"');
});
