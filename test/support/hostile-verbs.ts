/**
 * Every command that reads from a machine, run against an agent that lies; test/e2e/hostile-agent.test.ts uses these.
 */
import { expect, test } from "bun:test";
import { appendFileSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { connect as connectSocket, createServer } from "node:net";
import { join } from "node:path";
import { MiB } from "#base/size.ts";
import { FieldWriter } from "#guest/fields.ts";
import { FrameType, Tag } from "#guest/protocol.ts";
import { connect } from "#sdk/client.ts";
import { codeOf } from "./guest-fixture.ts";
import { type HostileMachine, playAgent } from "./hostile-machine.ts";
import { makeTar, symlink } from "./tar-build.ts";

/** A command line takes less than this by far, unless something piles up in it. */
const CLIENT_MAX_BYTES = 300 * MiB;
/** What a reader that piles up would have after a flood. */
const FLOOD_BYTES = 64 * MiB;
const BLOCK = new Uint8Array(256 * 1024).fill(0x20);

export function testVerbs(vm: string, machineOf: () => HostileMachine): void {
  /** Floods until so much was taken, or the call has ended. */
  const flooded = (argv: string, next: () => Uint8Array): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    let left = FLOOD_BYTES;
    machineOf().agent.onOpen = (opening) => {
      if (!opening.argv.includes(argv)) return opening.answer(new Uint8Array(0));
      opening.flood(() => {
        const bytes = next();
        left -= bytes.length;
        if (left < 0) resolve();
        return bytes;
      });
    };
    return promise;
  };
  const failed = async (...args: string[]): Promise<string> => {
    const { status, stderr } = await machineOf().banger.call(args);
    return `${status} ${stderr}`;
  };

  test("cat and ls: no more than was asked for, and names that are names", async () => {
    const { banger, agent, daemonPid, assertWell, answered } = machineOf();
    const pid = await daemonPid();
    const taken = flooded("read", () => BLOCK);
    const endless = banger.spawn(["vm", "cat", `${vm}:/etc/motd`]);
    // Nobody reads it: what is on its way is all that there is.
    await Promise.race([taken, Bun.sleep(2000)]);
    await assertSmall(endless.pid);
    endless.kill("SIGKILL");
    await endless.exited;
    for (const name of ["../../x", "a/b", "", ".."]) {
      const entry = new FieldWriter().text(Tag.fileName, name).number(Tag.fileMode, 0o100644);
      const list = new FieldWriter().bytes(Tag.entry, entry.finish()).finish();
      expect(await answered(list, "vm", "ls", `${vm}:/`)).toMatch(/^14 .*invalid file name/);
    }
    const empty = new FieldWriter().bytes(Tag.entry, new Uint8Array(0)).finish();
    agent.onOpen = ({ flood }) => flood(() => Buffer.concat(Array(10_000).fill(empty)));
    expect(await failed("vm", "ls", `${vm}:/`)).toMatch(/^11 [\s\S]*too long/);
    await assertWell(pid);
  });

  test("cp to standard output is the guest's archive, as it is and at the reader's pace", async () => {
    const { banger, agent } = machineOf();
    const archive = makeTar([symlink("x", "/etc/passwd")]);
    agent.onOpen = (opening) => opening.answer(archive);
    expect((await banger.ok("vm", "cp", `${vm}:/x`, "-")).length).toBe(archive.length);
  });

  test("watch: nothing but what is below the path", async () => {
    const { answered, daemonPid, assertWell } = machineOf();
    const pid = await daemonPid();
    for (const path of ["/etc/passwd", "/srv/../etc", "/srvx", ""]) {
      const change = new FieldWriter().number(Tag.kind, 1).text(Tag.path, path).finish();
      const entry = new FieldWriter().bytes(Tag.entry, change).finish();
      expect(await answered(entry, "vm", "watch", `${vm}:/srv/`)).toMatch(/^14 .*malformed/);
    }
    await assertWell(pid);
  });

  test("logs: a console of any length and content is bounded and harmless", async () => {
    const { banger, daemonPid, assertWell } = machineOf();
    const pid = await daemonPid();
    const [id] = readdirSync(join(banger.home, "state/banger/vms"));
    const path = join(banger.home, "state/banger/vms", id ?? "", "console.log");
    appendFileSync(path, Buffer.alloc(12 * MiB, "a line of the console\n"));
    appendFileSync(path, "\u001b]52;c;ZXZpbA==\u0007\u001b[2J\u009b31mend\n");
    const shown = await banger.ok("vm", "logs", vm);
    expect(shown.length).toBeLessThan(6 * MiB);
    expect(shown).toEndWith("end\n");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not reach a terminal
    expect(shown).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
    await assertWell(pid);
  });

  test("sessions: output that jumps, goes back or never ends is kept within bounds", async () => {
    const { banger, agent, daemonPid, assertWell } = machineOf();
    const pid = await daemonPid();
    const data = (offset: bigint, text: string): Uint8Array => {
      const record = Buffer.alloc(13 + text.length);
      record.writeUInt32LE(9 + text.length, 0);
      record.writeUInt8(1, 4);
      record.writeBigUInt64LE(offset, 5);
      record.write(text, 13);
      return record;
    };
    let offset = 0n;
    agent.onOpen = (opening) => {
      if (!opening.argv.includes("session-attach")) {
        return opening.answer(new FieldWriter().number(Tag.pid, 1).finish());
      }
      opening.flood(() => {
        offset += 100_000n;
        return Buffer.concat([
          data(offset, "forth\n".repeat(4000)),
          data(5n, "back\n"),
          data(offset, ""),
        ]);
      });
    };
    await banger.ok("vm", "session", "start", vm, "liar", "--", "true");
    const folder = join(banger.home, "state/banger/vms");
    const kept = (): string[] =>
      readdirSync(folder, { recursive: true, encoding: "utf8" })
        .filter((name) => name.includes("output."))
        .map((name) => join(folder, name));
    while (offset < 20_000_000n) await Bun.sleep(20);
    expect(kept().length).toBeLessThan(20);
    expect(await banger.ok("vm", "session", "logs", vm, "liar")).toContain("forth\n");
    agent.onOpen = (opening) => opening.answer(Uint8Array.of(0, 0, 0, 0, 1));
    await banger.ok("vm", "session", "rm", "--force", vm, "liar");
    expect(kept()).toEqual([]);
    await assertWell(pid);
  });

  test("foreground: a guest that breaks the protocol ends its process, and nothing is left", async () => {
    const { banger } = machineOf();
    const before = readdirSync(join(banger.home, "state/banger/vms"));
    const running = banger.call(["vm", "run", "--foreground", "--net", "none", "busybox", "true"]);
    const agent = await playAgent(banger);
    try {
      agent.onOpen = ({ raw }) => raw(Uint8Array.from([18, 0, 255, 255, 1, 0, 0, 0]));
      const { status, stderr } = await running;
      expect({ status, stderr }).toMatchObject({
        status: 125,
        stderr: expect.stringMatching(/frame too long/),
      });
      expect(readdirSync(join(banger.home, "state/banger/vms"))).toEqual(before);
    } finally {
      agent.close();
    }
  });

  test("forward: a flood waits for its reader", async () => {
    const { banger, daemonPid, assertWell } = machineOf();
    const pid = await daemonPid();
    const path = join(banger.home, "forward.sock");
    const taken = flooded("connect", () => BLOCK);
    const child = banger.spawn(["vm", "forward", vm, `./forward.sock:80`]);
    await child.stdout.getReader().read();
    const socket = connectSocket(path);
    await new Promise((resolve) => socket.once("connect", resolve));
    socket.pause();
    await Promise.race([taken, Bun.sleep(2000)]);
    await assertSmall(child.pid);
    socket.destroy();
    child.kill("SIGINT");
    await child.exited;
    await assertWell(pid);
  });

  /** Connections that come, send and go without end, and without credit. */
  const floodOfConnections = (): (() => Uint8Array) => {
    let id = 1;
    let isFirst = true;
    return () => {
      const records: Buffer[] = [];
      if (isFirst) {
        const ready = new FieldWriter().number(Tag.port, 4096).text(Tag.path, "/tmp/x").finish();
        records.push(record(1, 0, ready));
        isFirst = false;
      }
      for (let count = 0; count < 8; count++, id++) {
        records.push(record(2, id), record(3, id, new Uint8Array(32_000)), record(6, id));
      }
      return Buffer.concat(records);
    };
  };

  test("forward -R: connections without end pile up nowhere", async () => {
    const { banger, daemonPid, assertWell } = machineOf();
    const pid = await daemonPid();
    // Takes connections, and nothing that they send.
    const path = join(banger.home, "service.sock");
    using _service = listenOn(path);
    const taken = flooded("listen", floodOfConnections());
    const child = banger.spawn(["vm", "forward", "-R", vm, `./service.sock:4096`]);
    await Promise.race([taken, child.exited, Bun.sleep(2000)]);
    if (child.exitCode === null) await assertSmall(child.pid);
    child.kill("SIGKILL");
    await child.exited;
    await assertWell(pid);
  });

  for (const [name, flags] of [
    ["ssh -R", ["-N", "-R", "4096:127.0.0.1:9"]],
    ["ssh -A", ["-A"]],
  ] as const) {
    test(`${name}: connections without end pile up nowhere`, async () => {
      const { banger, daemonPid, assertWell } = machineOf();
      const pid = await daemonPid();
      const path = join(banger.home, "agent.sock");
      using _service = listenOn(path);
      const taken = flooded("listen", floodOfConnections());
      const child = Bun.spawn(["banger", "vm", "ssh", vm, ...flags, "--", "true"], {
        env: { ...banger.env, SSH_AUTH_SOCK: path },
        stdio: ["ignore", "ignore", "ignore"],
      });
      await Promise.race([taken, child.exited, Bun.sleep(2000)]);
      for (const { pid: proxy, command } of banger.processes()) {
        if (command.includes("ssh-proxy")) await assertSmall(proxy);
      }
      child.kill("SIGTERM");
      await child.exited;
      await assertWell(pid);
    });
  }

  test("sftp and scp: nonsense of the server writes nothing", async () => {
    const { banger, agent, daemonPid, assertWell } = machineOf();
    const pid = await daemonPid();
    agent.onOpen = ({ argv, answer, flood }) =>
      argv.includes("sftp") ? flood(() => BLOCK) : answer(new Uint8Array(0));
    mkdirSync(join(banger.home, "scp"));
    await banger.ok("ssh-config", "--install", "--file", "ssh_config");
    const child = Bun.spawn(["scp", "-F", "ssh_config", `${vm}.vm:/x`, "scp/x"], {
      cwd: banger.home,
      env: banger.env,
      stdio: ["ignore", "ignore", "ignore"],
    });
    expect(await child.exited).not.toBe(0);
    expect(readdirSync(join(banger.home, "scp"))).toEqual([]);
    await assertWell(pid);
  });

  test("API and SDK: answers are held against the question, and errors have their codes", async () => {
    const { banger, agent, daemonPid, assertWell } = machineOf();
    const pid = await daemonPid();
    const client = connect({ socket: join(banger.home, "run/banger/daemon.sock") });
    agent.onOpen = ({ flood }) => flood(() => BLOCK);
    const file = { name: vm, path: "/etc/hosts" };
    expect(await codeOf(client.file.read({ ...file, length_bytes: 5 }))).toBe("limit_exceeded");
    expect(await codeOf(client.file.stat(file))).toBe("limit_exceeded");
    const wrong = new FieldWriter().bytes(Tag.fileSize_bytes, new Uint8Array(9)).finish();
    agent.onOpen = (opening) => opening.answer(wrong);
    expect(await codeOf(client.file.stat(file))).toBe("guest");
    agent.onOpen = ({ send }) =>
      send(
        FrameType.close,
        new FieldWriter()
          .text(Tag.error, "made_up")
          .text(Tag.message, "\u001b]52;x\u0007no")
          .finish(),
      );
    const error = await client.file.stat(file).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "guest", message: expect.stringMatching(/no$/) });
    expect(String(error)).not.toContain("\u001b");
    await assertWell(pid);
  });
}

/** The most that the process has ever taken. */
async function assertSmall(pid: number): Promise<void> {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const peak_bytes = Number(/^VmHWM:\s*(\d+)/m.exec(status)?.[1]) * 1024;
  expect(peak_bytes).toBeLessThan(CLIENT_MAX_BYTES);
}

function record(type: number, id: number, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const bytes = Buffer.alloc(8 + payload.length);
  bytes.writeUInt8(type, 0);
  bytes.writeUInt16LE(payload.length, 2);
  bytes.writeUInt32LE(id, 4);
  bytes.set(payload, 8);
  return bytes;
}

function listenOn(path: string): Disposable {
  const server = createServer((socket) => socket.pause()).listen(path);
  return { [Symbol.dispose]: () => void server.close() };
}
