/** Files, ports, stats, sessions and SFTP in a real machine: Debian's kernel under QEMU, a root of busybox. */
import { afterAll, beforeAll, expect } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { runOk } from "#base/run.ts";
import { MiB } from "#base/size.ts";
import { type Agent, connectAgent } from "#guest/agent.ts";
import { AGENT_PATH } from "#guest/protocol.ts";
import { BOOT_MS, connect, PREPARE_MS, shell } from "#test/guest-boot.ts";
import { busyboxRoot, makeDisk } from "#test/guest-disk.ts";
import { codeOf, collectOutput, textOf } from "#test/guest-fixture.ts";
import { guestKernel } from "#test/guest-kernel.ts";
import { type GuestMachine, startGuestMachine } from "#test/guest-machine.ts";
import { testNeeding } from "#test/needs.ts";
import { extractTar } from "#vm/files/extract.ts";

const vmTest = testNeeding("root", "qemu-system-x86_64", "mke2fs", "apt-get", "rsync");

let folder: string;
let machine: GuestMachine;
let agent: Agent;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "banger-guest-e2e-"));
  const root = join(folder, "busybox.img");
  const writable = join(folder, "rw.img");
  await makeDisk(root, { size: "64M", from: await busyboxRoot() });
  await makeDisk(writable, { size: "1G" });
  machine = startGuestMachine({
    kernel: await guestKernel(),
    disks: [
      { path: root, readOnly: true },
      { path: writable, readOnly: false },
    ],
    record: {},
  });
  agent = await connect(machine);
}, PREPARE_MS);

afterAll(async () => {
  agent?.close();
  await machine?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

vmTest(
  "a tree goes in, comes out, and is the same",
  async () => {
    const tree = join(folder, "tree");
    mkdirSync(join(tree, "sub"), { recursive: true });
    writeFileSync(join(tree, "sub/big"), crypto.getRandomValues(new Uint8Array(60_000)));
    writeFileSync(join(tree, "many"), Buffer.alloc(5 * MiB, "data "));
    writeFileSync(join(tree, "sub/mine"), "mine", { mode: 0o600 });
    await runOk(["chown", "1234:5678", join(tree, "sub/mine")]);
    await runOk(["ln", join(tree, "many"), join(tree, "sub/hard")]);
    await runOk(["ln", "-s", "/etc/passwd", join(tree, "sub/soft")]);
    await runOk(["truncate", "-s", "100M", join(tree, "holes")]);
    await runOk(["tar", "--format=pax", "-S", "-C", folder, "-cf", join(folder, "in.tar"), "tree"]);
    const sink = await agent.files.writeTar("/srv/copy");
    await pipeline(Readable.from([readFileSync(join(folder, "in.tar"))]), sink.writable);
    expect((await sink.finished).entries).toBe(8);
    expect(
      await shell(agent, "cd /srv/copy/tree/sub; stat -c '%a %u %g' mine; du -k ../holes"),
    ).toMatch(/^600 1234 5678\n[0-8]\t/);
    const out = join(folder, "out");
    mkdirSync(out);
    const result = await extractTar(await agent.files.readTar("/srv/copy/tree"), out, {
      expected: { name: "tree", kind: "directory" },
    });
    expect(result).toMatchObject({ entries: 8, skipped: 0 });
    expect(
      await runOk([
        "rsync",
        "-rlptHcni",
        "--modify-window=1",
        "--delete",
        `${tree}/`,
        `${out}/tree`,
      ]),
    ).toBe("");
    expect(statSync(join(out, "tree/holes")).blocks).toBeLessThan(64);
  },
  BOOT_MS,
);

vmTest("what the kernel fills is not archived, and small requests work for users", async () => {
  const archive = Buffer.concat(await Array.fromAsync(await agent.files.readTar("/proc")));
  expect(archive.length).toBeLessThanOrEqual(10 * 1024);
  const { files } = agent;
  await files.writeFile("/tmp/note", new TextEncoder().encode("note"), { user: "ann" });
  expect(await files.stat("/tmp/note")).toMatchObject({ kind: "file", uid: 1000, size_bytes: 4 });
  expect(await codeOf(files.readFile("/run/banger/boot", { user: "ann" }))).toBe(
    "permission_denied",
  );
  expect((await files.list("/")).map(({ name }) => name)).toContain("etc");
  expect(await codeOf(files.mkdir("/etc/ann", { user: "ann" }))).toBe("permission_denied");
});

vmTest("ports and stats are those of the machine", async () => {
  const server = await agent.exec({ argv: ["nc", "-l", "-p", "4096"] });
  await shell(agent, "until netstat -ltn | grep -q :4096; do sleep 0.05; done");
  const found = (await agent.ports()).find(({ port }) => port === 4096);
  expect(found).toMatchObject({ protocol: "tcp", process: { pid: server.pid, name: "nc" } });
  server.close();
  const stats = await agent.stats();
  expect(stats.cpu.count).toBe(1);
  expect(stats.memory.total_bytes).toBeLessThan(512 * MiB);
  expect(stats.space.total_bytes).toBeGreaterThan(800 * MiB);
  expect(stats.disks.map(({ name }) => name)).toContain("vdb");
  expect(stats.interfaces.map(({ name }) => name)).toContain("eth0");
});

vmTest(
  "a session goes on while no host is there, and no byte of it is lost",
  async () => {
    const script =
      "i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done; read x; echo $BANGER_TEST $x";
    await agent.sessions.start("work", { argv: ["sh", "-c", script], user: "ann" });
    let text = "";
    for await (const { offset, bytes } of agent.sessions.attach("work")) {
      expect(offset).toBe(text.length);
      text += textOf(bytes);
      if (text.length > 2000) break;
    }
    agent.close();
    await agent.closed;
    agent = await connectAgent(await machine.connect(), { timeout_ms: BOOT_MS });
    await agent.sessions.send("work", new TextEncoder().encode("end\n"));
    for await (const { offset, bytes } of agent.sessions.attach("work", { offset: text.length })) {
      expect(offset).toBe(text.length);
      text += textOf(bytes);
    }
    const lines = Array.from({ length: 3000 }, (_, index) => index);
    expect(text).toBe(`${lines.join("\n")}\nfrom the record end\n`);
    expect(await agent.sessions.wait("work")).toEqual({ code: 0 });
    await agent.sessions.remove("work");
    expect(await agent.sessions.list()).toEqual([]);
  },
  BOOT_MS,
);

vmTest(
  "commands that print much at once are each heard whole, one that is slow to be read too",
  async () => {
    await shell(agent, "head -c 4000000 /dev/urandom > /tmp/noise");
    const md5 = async (argv: string[], pause_ms = 0): Promise<string> => {
      const hash = new Bun.CryptoHasher("md5");
      const stream = await agent.exec({ argv });
      stream.onStdout((chunk) => {
        hash.update(chunk);
        setTimeout(() => stream.grant(chunk.length), pause_ms);
      });
      stream.onStderr((chunk) => stream.grant(chunk.length));
      await stream.exited;
      return hash.digest("hex");
    };
    // Of writes that fill whole pages, and of those that do not.
    const sums = await Promise.all([
      md5(["cat", "/tmp/noise"]),
      md5(["cat", "/tmp/noise"], 5),
      md5(["dd", "if=/tmp/noise", "bs=777"]),
      md5(["dd", "if=/tmp/noise", "bs=70000"]),
    ]);
    const [sum] = (await shell(agent, "md5sum /tmp/noise; rm /tmp/noise")).split(" ");
    expect(new Set(sums)).toEqual(new Set([sum ?? ""]));
  },
);

vmTest("a user who cannot enter the agent's folder has SFTP all the same", async () => {
  const server = await agent.exec({ argv: [AGENT_PATH, "sftp"], user: "ann", stdin: true });
  const output = collectOutput(server);
  await server.writeStdin(Uint8Array.from([0, 0, 0, 5, 1, 0, 0, 0, 3]));
  await output.until("limits@openssh.com");
  await server.closeStdin();
  expect(await server.exited).toEqual({ code: 0 });
});
