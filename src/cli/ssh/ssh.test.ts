import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { runOk } from "#base/run.ts";
import { MiB } from "#base/size.ts";
import { makePaths, resolveRoots } from "#config/paths.ts";
import { ensureSshKey, generateHostKey } from "#config/ssh-key.ts";
import { cliCommand, cliEnvironment, runCli } from "#test/cli.ts";
import { type LocalDaemon, makeVm, startLocalDaemon } from "#test/local-daemon.ts";
import { testNeeding } from "#test/needs.ts";
import { onTerminal } from "#test/terminal.ts";
import { until } from "#test/until.ts";

const STRANGER = generateHostKey("stranger").publicLine;

let daemon: LocalDaemon;
let paths: ReturnType<typeof makePaths>;

beforeAll(async () => {
  daemon = await startLocalDaemon();
  paths = makePaths(resolveRoots(daemon.env, daemon.folder));
  daemon.authorizedKeys.push(ensureSshKey(paths.sshKey).publicLine);
});
afterAll(async () => {
  expect(daemon.violations).toEqual([]);
  await daemon[Symbol.asyncDispose]();
});

const ssh = (words: string[], stdin?: string | Uint8Array) =>
  runCli(["vm", "ssh", ...words], { env: daemon.env, stdin });

/** The user's own ssh, with the block that `banger ssh-config` prints. */
async function plainSsh(program: string, ...words: string[]) {
  const config = join(daemon.folder, "ssh_config");
  const block = await runCli(["ssh-config"], { env: daemon.env });
  writeFileSync(config, block.stdout);
  const child = Bun.spawn([program, "-F", config, ...words], {
    env: cliEnvironment(daemon.env),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { stdout, stderr, exitCode };
}

test("vm ssh runs a command through the user's shell, without a word of its own", async () => {
  const result = await ssh([
    "testbox",
    "--",
    'echo "$USER $HOME $((20 + 3))"; echo err >&2; exit 7',
  ]);
  expect(result).toEqual({ exitCode: 7, stdout: "root /root 23\n", stderr: "err\n" });
});

test("an ssh session has the variables by which programs know one", async () => {
  const shown = 'echo "$SSH_CLIENT|$SSH_CONNECTION|$SSH_TTY"';
  const result = await ssh(["testbox", "-o", "SetEnv=SSH_CLIENT=other", "--", shown]);
  expect(result.stdout).toBe("127.0.0.1 65535 22|127.0.0.1 65535 127.0.0.1 22|\n");
});

test("vm ssh hands its options to ssh and takes a user", async () => {
  const result = await ssh(["someone@testbox", "-T", "echo", "$USER"]);
  expect(result).toEqual({ exitCode: 0, stdout: "someone\n", stderr: "" });
  const open = daemon.opened.at(-1);
  expect(open?.kind === "exec" && open.exec.user).toBe("someone");
});

test("vm ssh logs in as whom the caller's own options and configuration name, else as root", async () => {
  const loginOf = async (...words: string[]) => (await ssh([...words])).stdout.trim();
  expect(await loginOf("testbox", "-l", "dev", 'echo "$USER"')).toBe("dev");
  expect(await loginOf("testbox", "-o", "User=dev", 'echo "$USER"')).toBe("dev");
  expect(await loginOf("testbox", "-oUser=dev", "-T", 'echo "$USER"')).toBe("dev");
  expect(await loginOf("-l", "dev", "testbox", "-l", "other", 'echo "$USER"')).toBe("dev");
  expect(await loginOf("testbox", 'echo "$USER"')).toBe("root");
  // Another file takes the place of the user's own, which is that of passwd's home.
  const config = join(daemon.folder, "own_config");
  writeFileSync(config, "Host testbox.vm\n  User dev\n");
  expect(await loginOf("testbox", "-F", config, 'echo "$USER"')).toBe("dev");
  const defaults = join(daemon.env["XDG_STATE_HOME"] ?? "", "banger/ssh/config");
  expect(readFileSync(defaults, "utf8").split("\n")[0]).toBe("Include ~/.ssh/config");
});

test("vm ssh carries stdin and stdout whole", async () => {
  const sent = Buffer.alloc(3 * MiB + 5, "0123456789abcde\n");
  const { exitCode, stdout } = await ssh(["testbox", "--", "cat; echo end"], sent);
  expect(exitCode).toBe(0);
  expect(stdout === `${sent.toString()}end\n`).toBe(true);
});

test("vm ssh gives a terminal with the size and type of the caller's", async () => {
  const { child, screen, ended } = onTerminal(cliCommand(["vm", "ssh", "testbox"]), {
    columns: 101,
    rows: 31,
    env: { ...cliEnvironment(daemon.env), TERM: "xterm-256color" },
  });
  child.terminal?.write("echo size $(stty size) $TERM; echo at $SSH_TTY; exit 3\n");
  await ended;
  expect(screen.text).toMatch(/at \/dev\/(pts\/|tty)\d+/);
  expect(screen.text).toContain("size 31 101 xterm-256color");
  expect(child.exitCode).toBe(3);
});

test("a machine that does not run is said at once, with what to do", async () => {
  daemon.vms.set("asleep", makeVm("asleep", "stopped"));
  const { exitCode, stderr } = await ssh(["asleep", "--", "true"]);
  expect(exitCode).toBe(6);
  expect(stderr).toBe(
    'error: Cannot log in to "asleep": it is stopped\nhint: Start it with: banger vm start asleep\n',
  );
});

test("the block of ssh-config makes plain ssh work, also with a new host key", async () => {
  for (let round = 0; round < 2; round++) {
    const result = await plainSsh("ssh", "testbox.vm", "echo", "hello");
    expect(result).toEqual({ exitCode: 0, stdout: "hello\n", stderr: "" });
    daemon.hostKey = generateHostKey("another");
  }
  const lines = readFileSync(paths.knownHosts, "utf8").trim().split("\n");
  expect(lines.filter((line) => line.startsWith("testbox.vm "))).toHaveLength(1);
});

test("many logins at once leave one line for each host", async () => {
  const names = ["one", "two", "three", "four"];
  for (const name of names) daemon.vms.set(name, makeVm(name));
  const results = await Promise.all(names.map((name) => ssh([name, "--", "echo", name])));
  expect(results.map(({ stdout }) => stdout.trim())).toEqual(names);
  const hosts = readFileSync(paths.knownHosts, "utf8")
    .trim()
    .split("\n")
    .map((line) => line.split(" ")[0]);
  expect(hosts.filter((host) => names.includes(host?.slice(0, -3) ?? "")).sort()).toEqual(
    names.map((name) => `${name}.vm`).sort(),
  );
});

test("a key that is not the machine's is refused", async () => {
  const saved = daemon.authorizedKeys.splice(0, Number.POSITIVE_INFINITY, STRANGER);
  try {
    const { exitCode, stderr } = await ssh(["testbox", "--", "true"]);
    expect(exitCode).toBe(255);
    expect(stderr).toContain("Permission denied (publickey)");
  } finally {
    daemon.authorizedKeys.splice(0, Number.POSITIVE_INFINITY, ...saved);
  }
});

test("ssh -W reaches a TCP port of the machine, and says when there is none", async () => {
  const server = createServer((socket) => socket.end("from inside")).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  const port = typeof address === "object" ? address?.port : 0;
  const reached = await plainSsh("ssh", "-W", `127.0.0.1:${port}`, "testbox.vm");
  expect(reached.stdout).toBe("from inside");
  server.close();
  const refused = await plainSsh("ssh", "-W", `127.0.0.1:${port}`, "testbox.vm");
  expect(refused.exitCode).not.toBe(0);
  expect(refused.stdout).toBe("");
});

/** A socket has a name a moment before anybody listens there. */
async function untilListening(path: string): Promise<void> {
  const isOpen = () =>
    new Promise<boolean>((resolve) => {
      const made = connect(path, () => resolve(true)).on("error", () => resolve(false));
      made.on("connect", () => made.destroy());
    });
  while (!(await isOpen())) await Bun.sleep(10);
}

test("ssh -L reaches a unix socket of the machine", async () => {
  const inside = join(daemon.folder, "inside.sock");
  const outside = join(daemon.folder, "outside.sock");
  const server = createServer((socket) => socket.pipe(socket)).listen(inside);
  await new Promise((resolve) => server.once("listening", resolve));
  const child = Bun.spawn(
    cliCommand(["vm", "ssh", "testbox", "-N", "-L", `${outside}:${inside}`]),
    { env: cliEnvironment(daemon.env), stdin: "ignore", stdout: "ignore", stderr: "ignore" },
  );
  try {
    await untilListening(outside);
    const answer = Promise.withResolvers<string>();
    const socket = await Bun.connect({
      unix: outside,
      socket: { data: (_, bytes) => answer.resolve(bytes.toString()) },
    });
    socket.write("ping");
    expect(await answer.promise).toBe("ping");
    socket.end();
  } finally {
    child.kill();
    await child.exited;
    server.close();
  }
});

/** Whether a connection to it is echoed by what is at the other end. */
async function echoes(target: { unix: string } | { hostname: string; port: number }) {
  const sent = Buffer.alloc(300_000, "to and fro ");
  const chunks: Uint8Array[] = [];
  const ended = Promise.withResolvers<void>();
  const socket = await new Promise<Socket>((resolve, reject) => {
    const made =
      "unix" in target
        ? connect(target.unix, () => resolve(made))
        : connect(target.port, target.hostname, () => resolve(made));
    made.on("error", reject);
  });
  socket.on("data", (chunk) => chunks.push(Buffer.from(chunk))).on("close", () => ended.resolve());
  socket.end(sent);
  await ended.promise;
  return Buffer.concat(chunks).equals(sent);
}

test("ssh -R brings connections to a port and to a socket of the machine out", async () => {
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" ? address?.port : 0;
  const inside = join(daemon.folder, "reverse.sock");
  const child = Bun.spawn(
    cliCommand([
      ...["vm", "ssh", "testbox", "-N", "-o", "LogLevel=INFO"],
      ...["-R", `0:127.0.0.1:${port}`, "-R", `${inside}:127.0.0.1:${port}`],
    ]),
    { env: cliEnvironment(daemon.env), stdin: "ignore", stdout: "ignore", stderr: "pipe" },
  );
  try {
    let words = "";
    for await (const chunk of child.stderr) {
      words += Buffer.from(chunk).toString();
      if (/Allocated port \d+ /.test(words)) break;
    }
    const chosen = Number(/Allocated port (\d+)/.exec(words)?.[1]);
    await untilListening(inside);
    const reached = await Promise.all([
      echoes({ hostname: "127.0.0.1", port: chosen }),
      echoes({ hostname: "127.0.0.1", port: chosen }),
      echoes({ unix: inside }),
    ]);
    expect(reached).toEqual([true, true, true]);
  } finally {
    child.kill();
    await child.exited;
    server.close();
  }
  await until(() => !existsSync(inside));
});

test("ssh -A lends the client's agent to the machine for as long as the session lasts", async () => {
  const socket = join(daemon.folder, "auth.sock");
  const keys = Bun.spawn(["ssh-agent", "-D", "-a", socket], { stdout: "ignore" });
  try {
    await untilListening(socket);
    const file = join(daemon.folder, "lent");
    await Bun.spawn(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lent key", "-f", file])
      .exited;
    const env = { ...cliEnvironment(daemon.env), SSH_AUTH_SOCK: socket };
    await Bun.spawn(["ssh-add", "-q", file], { env }).exited;
    const child = Bun.spawn(
      cliCommand(["vm", "ssh", "testbox", "-A", "--", "echo $SSH_AUTH_SOCK; ssh-add -l"]),
      { env, stdin: "ignore", stdout: "pipe", stderr: "pipe" },
    );
    const text = await new Response(child.stdout).text();
    expect(await child.exited).toBe(0);
    expect(text).toContain("lent key");
    const path = text.split("\n")[0] ?? "";
    expect(path).toMatch(/^\/tmp\/ssh-\w+\/agent$/);
    await until(() => !existsSync(path));
  } finally {
    keys.kill();
    await keys.exited;
  }
});

test("scp and sftp copy both ways, with a server that is the agent's own", async () => {
  const source = join(daemon.folder, "source");
  const target = join(daemon.folder, "target");
  writeFileSync(source, "x".repeat(200_000));
  const nothing = { exitCode: 0, stdout: "", stderr: "" };
  expect(await plainSsh("scp", "-q", source, `testbox.vm:${target}`)).toEqual(nothing);
  expect(readFileSync(target, "utf8")).toHaveLength(200_000);
  expect(await plainSsh("scp", "-q", `testbox.vm:${target}`, `${source}2`)).toEqual(nothing);
  expect(readFileSync(`${source}2`, "utf8")).toHaveLength(200_000);
});

test("long commands run, and what is too long is said", async () => {
  const sizeOf = async (bytes: number) =>
    await ssh(["testbox", "--", `printf %s ${"x".repeat(bytes - 18)} | wc -c`]);
  expect(await sizeOf(36_000)).toEqual({ exitCode: 0, stdout: "35982\n", stderr: "" });
  expect((await sizeOf(128 * 1024 - 1)).stdout).toBe(`${128 * 1024 - 19}\n`);
  const words = (count: number) => Array.from({ length: count }, () => "y".repeat(1000));
  const tooLong = await ssh(["testbox", "--", "echo", ...words(140)]);
  expect(tooLong).toMatchObject({ exitCode: 255, stdout: "" });
  expect(tooLong.stderr).toContain("argument list too long: 140144 bytes");
  const beyondPackets = await ssh(["testbox", "--", "echo", ...words(300)]);
  expect(beyondPackets).toMatchObject({ exitCode: 255, stdout: "" });
  expect(beyondPackets.stderr).toContain("Bad packet length");
});

test("a reader that leaves ends the command, as a broken pipe does", async () => {
  const script = '"$@" | head -n 1; echo $PIPESTATUS';
  for (const command of ["yes", "trap '' PIPE; yes; sleep 1000", "echo y; exit 0"]) {
    const child = Bun.spawn(
      ["bash", "-c", script, "bash", ...cliCommand(["vm", "ssh", "testbox", "--", command])],
      { env: cliEnvironment(daemon.env), stdin: "ignore", stdout: "pipe", stderr: "pipe" },
    );
    expect(await new Response(child.stdout).text()).toMatch(/^y\n(255|141|1|0)\n$/);
  }
});

test("a client that is killed takes the proxy and its command along", async () => {
  const config = join(daemon.folder, "ssh_config");
  writeFileSync(config, (await runCli(["ssh-config"], { env: daemon.env })).stdout);
  const child = Bun.spawn(["ssh", "-F", config, "testbox.vm", "echo up; exec cat"], {
    env: cliEnvironment(daemon.env),
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  await child.stdout.getReader().read();
  child.kill("SIGKILL");
  // The proxy has it as well, and whoever reads it would wait for the proxy.
  await new Response(child.stderr).text();
  while (daemon.sessions > 0) await Bun.sleep(5);
});

test("a command that a signal ended is a failure", async () => {
  const { exitCode } = await ssh(["testbox", "--", "kill -TERM $$"]);
  expect(exitCode).not.toBe(0);
});

testNeeding("rsync", "git")("rsync and git take the way of ssh-config, by name alone", async () => {
  const place = join(daemon.folder, "sources");
  mkdirSync(place);
  writeFileSync(join(place, "file"), "text of a file\n".repeat(1000));
  const config = join(daemon.folder, "installed");
  const installed = await runCli(["ssh-config", "--install", "--file", config], {
    env: daemon.env,
  });
  expect(installed.exitCode).toBe(0);
  const env = { ...daemon.env, GIT_SSH_COMMAND: `ssh -F ${config}` };
  const command = (argv: string[]) => runOk(argv, { env });
  await command([
    "rsync",
    "-a",
    "-e",
    `ssh -F ${config}`,
    `${place}/`,
    `testbox.vm:${place}-there/`,
  ]);
  await command([
    "rsync",
    "-a",
    "-e",
    `ssh -F ${config}`,
    `testbox.vm:${place}-there/`,
    `${place}-back`,
  ]);
  expect(readFileSync(`${place}-back/file`, "utf8")).toBe(readFileSync(`${place}/file`, "utf8"));
  await command(["git", "init", "-q", "-b", "main", place]);
  await command(["git", "-C", place, "add", "file"]);
  const author = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
  await command(["git", "-C", place, ...author, "commit", "-q", "-m", "first"]);
  await command(["git", "clone", "-q", `testbox.vm:${place}`, `${place}-clone`]);
  expect(readFileSync(`${place}-clone/file`, "utf8")).toBe(readFileSync(`${place}/file`, "utf8"));
});
