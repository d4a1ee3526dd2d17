/** Files, ports and what goes on inside, through the built program, on an image of busybox and nothing else. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import type { DirectoryEntry, FileInfo } from "#api/file.ts";
import type { VmHealth } from "#api/health.ts";
import type { ListeningSocket, VmProcess, VmStats } from "#api/inside.ts";
import { runOk } from "#base/run.ts";
import { MiB } from "#base/size.ts";
import { pullBusybox } from "#test/busybox.ts";
import { freePort } from "#test/file-server.ts";
import { TestRepository } from "#test/git-server.ts";
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
const host = (name: string) => join(banger.home, name);

test("cp takes a tree in and out, with modes, times, links and holes", async () => {
  const tree = host("tree");
  mkdirSync(join(tree, "sub"), { recursive: true });
  writeFileSync(join(tree, "one"), "one", { mode: 0o750 });
  writeFileSync(join(tree, "sub/data"), crypto.getRandomValues(new Uint8Array(60_000)));
  linkSync(join(tree, "one"), join(tree, "sub/again"));
  symlinkSync("../one", join(tree, "sub/link"));
  writeFileSync(join(tree, "holes"), "begin");
  truncateSync(join(tree, "holes"), 40 * MiB);
  await banger.ok("vm", "cp", "tree", `${VM}:/srv`);
  expect(await exec("sh", "-c", "du -k /srv/holes; stat -c %a:%h /srv/one")).toMatch(
    /^[0-8]\t\/srv\/holes\n750:2\n$/,
  );
  // A folder that is there is what a copy goes into.
  await banger.ok("vm", "cp", "tree/sub", `${VM}:/tmp`);
  expect(await exec("ls", "/tmp/sub")).toBe("again\ndata\nlink\n");
  await banger.ok("vm", "cp", `${VM}:/srv/.`, "back");
  const same = ["rsync", "-rlptHcni", "--modify-window=1", "--omit-dir-times", "--delete"];
  expect(await runOk([...same, `${tree}/`, host("back")])).toBe("");
  expect(statSync(host("back/holes")).blocks).toBeLessThan(64);
});

test("cp keeps owners into a machine, or gives them to a user", async () => {
  writeFileSync(host("file"), "text");
  if (process.getuid?.() === 0) await runOk(["chown", "1234:5678", host("file")]);
  await banger.ok("vm", "cp", "file", `${VM}:/tmp/kept`);
  await banger.ok("vm", "cp", "-u", "bob", "file", `${VM}:/tmp/bobs`);
  const { uid } = statSync(host("file"));
  expect(await exec("stat", "-c", "%u", "/tmp/kept", "/tmp/bobs")).toBe(`${uid}\n1000\n`);
});

test("cp passes archives on standard input and output", async () => {
  const archive = await banger.ok("vm", "cp", `${VM}:/etc`, "-");
  const names = (await runOk(["tar", "-t"], { stdin: archive })).split("\n");
  expect(names).toContain("etc/passwd");
  const { status } = await banger.call(["vm", "cp", "-", `${VM}:/tmp/from-tar`], {
    stdin: archive,
  });
  expect(status).toBe(0);
  expect(await exec("cat", "/tmp/from-tar/etc/passwd")).toBe(await exec("cat", "/etc/passwd"));
  const broken = await banger.call(["vm", "cp", "-", `${VM}:/tmp`], { stdin: "no archive" });
  expect(broken.status).toBe(2);
  expect(broken.stderr).toMatch(/error: Unexpected end of archive/);
});

test("cp says what does not exist, and what it cannot do", async () => {
  const failing = async (...args: string[]) => {
    const { status, stderr } = await banger.call(["vm", "cp", ...args]);
    return `${status} ${stderr.split("\n")[0]}`;
  };
  expect(await failing("nothing", `${VM}:/tmp`)).toMatch(/^4 error: Cannot copy ".*nothing"/);
  expect(await failing(`${VM}:/nothing`, "x")).toMatch(/^4 error: .*\/nothing/);
  expect(await failing(`${VM}:/etc/passwd`, "no/such/folder/x")).toMatch(/^4 .*no such directory/);
  expect(await failing(`${VM}:/a`, `${VM}:/b`)).toStartWith("2 ");
  expect(await failing("a", "b")).toStartWith("2 ");
  expect(await failing("file", "nobody:/tmp")).toMatch(/^4 .*nobody/);
  expect(existsSync(host("x"))).toBe(false);
  const nowhere = /^4 error: Cannot copy to "\/tmp\/no.*": no such directory "\/tmp\/no/;
  expect(await failing("file", `${VM}:/tmp/no/x`)).toMatch(nowhere);
  expect(await failing("tree", `${VM}:/tmp/no/x`)).toMatch(nowhere);
  expect(await failing("tree/.", `${VM}:/tmp/no/x`)).toMatch(nowhere);
  const { status, stderr } = await banger.call(["vm", "cp", "-", `${VM}:/tmp/no/x`], { stdin: "" });
  expect(`${status} ${stderr}`).toMatch(nowhere);
  expect(stderr).toContain(`hint: Create it with: banger vm file mkdir -p ${VM}:/tmp/no\n`);
  expect(await exec("ls", "/tmp")).not.toMatch(/^no$/m);
});

test("ls, stat, cat, mkdir and rm do what they do at home", async () => {
  const list = await banger.json<DirectoryEntry[]>("vm", "ls", `${VM}:/etc`);
  expect(list.map(({ name }) => name)).toContain("passwd");
  expect(await banger.ok("vm", "ls", `${VM}:/bin`)).toMatch(/lrwxrwxrwx .* sh -> busybox/);
  const info = await banger.json<FileInfo>("vm", "stat", `${VM}:/etc/passwd`);
  expect(info).toMatchObject({ kind: "file", uid: 0, mode: 0o644, links: 1 });
  expect(await banger.ok("vm", "cat", `${VM}:/etc/group`, `${VM}:etc/os-release`)).toMatch(
    /^root:x:0:\nbob:x:1000:\nID=busybox\n/,
  );
  await banger.ok("vm", "mkdir", "-p", "-m", "700", `${VM}:/data/deep`);
  expect((await banger.json<FileInfo>("vm", "stat", `${VM}:/data/deep`)).mode).toBe(0o700);
  expect((await banger.call(["vm", "mkdir", `${VM}:/data`])).status).toBe(2);
  const rm = async (...args: string[]) => (await banger.call(["vm", "file", "rm", ...args])).status;
  expect(await rm(`${VM}:/data`)).toBe(2);
  // Neither what removes machines, nor a slip of the finger, removes what is in one.
  expect((await banger.call(["vm", "rm", "-f", `${VM}:/data`])).status).toBe(2);
  for (const whole of ["", "/", "//", "/.", "/data/..", "."]) {
    expect([whole, await rm("-rf", `${VM}:${whole}`)]).toEqual([whole, 2]);
  }
  expect((await banger.json<FileInfo>("vm", "file", "stat", `${VM}:/data/deep`)).mode).toBe(0o700);
  expect(await rm("-r", `${VM}:/data`)).toBe(0);
  expect(await rm(`${VM}:/data`)).toBe(4);
  expect(await rm("-f", `${VM}:/data`)).toBe(0);
  expect((await banger.call(["vm", "stat", `${VM}:/data`])).status).toBe(4);
});

test("watch prints changes as they come, until it is interrupted", async () => {
  const watching = banger.spawn(["vm", "watch", "-r", `${VM}:/tmp`]);
  const errors = watching.stderr.getReader();
  let said = "";
  while (!said.includes("Watching /tmp")) {
    said += new TextDecoder().decode((await errors.read()).value);
  }
  await exec("mkdir", "/tmp/new");
  let seen = "";
  let isMade = false;
  for await (const chunk of watching.stdout) {
    seen += new TextDecoder().decode(chunk);
    if (seen.includes("created /tmp/new/") && !isMade) {
      isMade = true;
      await exec("sh", "-c", "echo hi > /tmp/new/file; rm /tmp/new/file");
    }
    if (seen.includes("removed /tmp/new/file")) watching.kill("SIGINT");
  }
  expect(seen).toContain("created /tmp/new/\n");
  expect(seen).toContain("created /tmp/new/file\n");
  expect(await watching.exited).toBe(130);
});

test("a big file comes out as it is, and a copy that is interrupted leaves the machine well", async () => {
  await exec("sh", "-c", "head -c 20000000 /dev/urandom > /tmp/big");
  const sum = (await exec("md5sum", "/tmp/big")).slice(0, 32);
  await banger.ok("vm", "cp", `${VM}:/tmp/big`, "big");
  expect(new Bun.CryptoHasher("md5").update(readFileSync(host("big"))).digest("hex")).toBe(sum);
  const endless = banger.spawn(["vm", "cat", `${VM}:/dev/zero`]);
  await endless.stdout.getReader().read();
  endless.kill("SIGINT");
  expect(await endless.exited).toBe(130);
  expect(await exec("echo", "well")).toBe("well\n");
});

/** A server in the machine that answers each connection in capitals; gives the name of its session. */
async function startServer(port: number): Promise<string> {
  const serve = ["nc", "-ll", "-p", String(port), "-e", "tr", "a-z", "A-Z"];
  const name = (await banger.ok("vm", "exec", "-d", VM, "--", ...serve)).trim();
  await exec("sh", "-c", `until netstat -ltn | grep -q :${port}; do sleep 0.05; done`);
  return name;
}

/** Says something and ends; gives the answer. */
async function ask(to: { port: number } | { path: string }, text: string): Promise<string> {
  const socket = connect({ ...to, host: "127.0.0.1", allowHalfOpen: true });
  socket.end(text);
  return Buffer.concat(await Array.fromAsync(socket as AsyncIterable<Buffer>)).toString();
}

/** Starts it, and resolves with its first line of output. */
async function startForward(...args: string[]) {
  const child = banger.spawn(["vm", "forward", ...args]);
  const { value } = await child.stdout.getReader().read();
  return { child, line: new TextDecoder().decode(value).trim() };
}

test("ports lists who listens, and forward brings connections there", async () => {
  const name = await startServer(4096);
  const ports = await banger.json<ListeningSocket[]>("vm", "ports", VM);
  expect(ports).toContainEqual(
    expect.objectContaining({
      protocol: "tcp",
      port: 4096,
      process: { pid: expect.any(Number), name: "nc" },
    }),
  );
  const [port, path] = [await freePort(), host("forward.sock")];
  const { child, line } = await startForward(VM, `${port}:4096`, `${path}:127.0.0.1:4096`);
  expect(line.split("\n")[0]).toBe(`127.0.0.1:${port} -> ${VM}:4096`);
  expect(await ask({ port }, "hello")).toBe("HELLO");
  while (!existsSync(path)) await Bun.sleep(10);
  const long = "many words ".repeat(20_000);
  const answers = await Promise.all([ask({ path }, long), ask({ port }, long)]);
  expect(answers.map((answer) => answer === long.toUpperCase())).toEqual([true, true]);
  // The daemon may come and go.
  const { pid } = await banger.json<{ pid: number }>("daemon", "status");
  process.kill(pid, "SIGKILL");
  await banger.ok("vm", "health", VM);
  expect(await ask({ port }, "again")).toBe("AGAIN");
  const taken = await banger.call(["vm", "forward", VM, `${port}:4096`]);
  expect(taken).toMatchObject({ status: 13 });
  child.kill("SIGINT");
  expect(await child.exited).toBe(130);
  expect(existsSync(path)).toBe(false);
  await banger.ok("vm", "session", "rm", "--force", VM, name);
});

test("forward -R brings connections out of the machine", async () => {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("data", (data) => socket.write(data.toString().toUpperCase()));
    socket.on("end", () => socket.end());
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const { child, line } = await startForward("-R", VM, `${port}:5050`);
  expect(line).toBe(`${VM}:127.0.0.1:5050 -> 127.0.0.1:${port}`);
  expect(await exec("sh", "-c", "echo out | nc 127.0.0.1 5050")).toBe("OUT\n");
  child.kill("SIGINT");
  expect(await child.exited).toBe(130);
  server.close();
});

test("stats and top look inside, and tell what the host pays", async () => {
  const [stats] = await banger.json<VmStats[]>("vm", "stats", "--no-stream", VM);
  expect(stats?.host.resident_bytes).toBeGreaterThan(32 * MiB);
  expect(stats?.host.cpu_ms).toBeGreaterThan(0);
  expect(stats?.space.used_bytes).toBeGreaterThan(20_000_000);
  expect(await banger.ok("vm", "stats", "--no-stream")).toMatch(
    new RegExp(`HOST MEMORY.*\n${VM} +\\d+\\.\\d %`),
  );
  const processes = await banger.json<VmProcess[]>("vm", "top", "--no-stream", VM);
  expect(processes.find(({ pid }) => pid === 1)).toMatchObject({ uid: 0, parent: 0 });
  expect(await banger.ok("vm", "top", "--no-stream", VM)).toMatch(/^PID +USER .*\n\d+ +0 /);
});

test("a clock that is wrong is right again when the daemon finds the machine", async () => {
  await exec("date", "-s", "2001-02-03 04:05:06");
  expect((await banger.json<VmHealth>("vm", "health", VM)).clockAhead_ms).toBeLessThan(-1e9);
  const { pid } = await banger.json<{ pid: number }>("daemon", "status");
  process.kill(pid, "SIGKILL");
  for (;;) {
    const { clockAhead_ms } = await banger.json<VmHealth>("vm", "health", VM);
    if (Math.abs(clockAhead_ms) < 5000) break;
    await Bun.sleep(50);
  }
});

test("a workspace goes into a machine without git, and its changes come back", async () => {
  const repo = new TestRepository(host("project"));
  const id = repo.commit({ "a.txt": "one\ntwo\n", "gone.txt": "gone\n" });
  writeFileSync(join(repo.path, ".env"), "SECRET=1\n");
  writeFileSync(join(repo.path, "dirty.txt"), "dirty\n");
  writeFileSync(Buffer.concat([Buffer.from(`${repo.path}/raw-`), Buffer.of(0xff)]), "raw\n");
  const workspace = (...args: string[]) => banger.ok("vm", "workspace", ...args);
  const first = await banger.call(["vm", "workspace", "import", VM, repo.path]);
  expect(first).toMatchObject({ status: 0, stderr: expect.stringContaining("secrets: .env") });
  expect(await workspace("import", VM, repo.path)).toContain("sent 0 ");
  expect(await exec("sh", "-c", "cd /workspace && ls && cat .git/HEAD")).toContain(
    "a.txt\ndirty.txt\ngone.txt\nraw-",
  );
  await exec("sh", "-c", "cd /workspace && echo six >> a.txt && rm gone.txt && echo new > new.txt");
  await exec("sh", "-c", "cd /workspace && echo changed > raw-*");
  expect(await workspace("status", "--short", VM)).toMatch(/^## main\n M a.txt\n D gone.txt\n/);
  expect(await workspace("diff", VM)).toContain("+six\n");
  expect(await workspace("fetch", VM)).toContain(`refs/banger/${VM}/worktree`);
  expect(repo.git("rev-parse", `refs/banger/${VM}/HEAD`)).toBe(id);
  expect(repo.git("show", `refs/banger/${VM}/worktree:new.txt`)).toBe("new");
  await workspace("export", VM, host("work.patch"));
  expect(repo.git("apply", "--check", host("work.patch"))).toBe("");
  await workspace("export", "--bundle", VM, host("work.bundle"));
  expect(repo.git("bundle", "list-heads", host("work.bundle"))).toContain("refs/banger/worktree");
  await exec("sh", "-c", "cd /workspace && rm raw-*");
  await workspace("apply", VM);
  expect(readFileSync(join(repo.path, "a.txt"), "utf8")).toBe("one\ntwo\nsix\n");
  expect(existsSync(join(repo.path, "gone.txt"))).toBe(false);

  // From the disk of a stopped machine, also below a directory that the image has.
  await workspace("import", VM, `${repo.path}:/home/bob/app`);
  await exec("sh", "-c", "cd /home/bob/app && echo stopped >> a.txt && ln -s a.txt link");
  const place = `${VM}:/home/bob/app`;
  const running = await workspace("diff", "--name-status", place);
  expect(running).toBe("M\ta.txt\nA\tlink\n");
  await banger.ok("vm", "stop", VM);
  expect(await workspace("diff", "--name-status", place)).toBe(running);
  await workspace("fetch", place);
  expect(repo.git("show", `refs/banger/${VM}/worktree:a.txt`)).toEndWith("stopped");
});

test("vm run --workspace has the files before its command begins, and is gone after a failed import", async () => {
  const repo = new TestRepository(host("run-project"));
  repo.commit({ "a.txt": "of the project\n" });
  const run = ["vm", "run", "--net", "none", "--name", "worker", "--workspace"];
  const command = ["busybox", "--", "sh", "-c", "pwd; cat a.txt"];
  expect(await banger.ok(...run, `${repo.path}:/srv/app`, ...command)).toBe(
    "/srv/app\nof the project\n",
  );
  const create = ["vm", "create", "--name", "filled", "--net", "none", "--workspace", repo.path];
  await banger.ok(...create, "busybox");
  expect(await banger.ok("vm", "exec", "filled", "--", "cat", "/workspace/a.txt")).toBe(
    "of the project\n",
  );
  await banger.ok("vm", "rm", "--force", "filled");
  const failed = await banger.call([...run, host("nowhere"), ...command]);
  expect(failed.stderr).toContain("no such directory");
  expect(await banger.ok("vm", "list", "-q")).not.toContain("worker");
});
