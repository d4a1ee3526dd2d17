/**
 * A machine whose agent is played by this test: the daemon stays up, within a memory bound, and says
 * what is wrong. The other machine of the same daemon is an honest one.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MiB } from "#base/size.ts";
import { FieldWriter } from "#guest/fields.ts";
import { FrameType, Tag } from "#guest/protocol.ts";
import type { HostileAgent, Opening } from "#test/hostile-agent.ts";
import { type HostileMachine, startHostileMachine } from "#test/hostile-machine.ts";
import { testVerbs } from "#test/hostile-verbs.ts";
import type { Installation } from "#test/installation.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { dir, file, hardLink, makeTar, symlink } from "#test/tar-build.ts";

// For a run of several files, of which only the first has the default of its own.
setDefaultTimeout(LIMIT_MS);

const VM = "hostile";
/** Less than is granted at first. */
const BIG_BYTES = 400 * 1024;
const WINDOW = new FieldWriter().number(Tag.window, 1000).finish();
/** What it says of a path that is a folder. */
const FOLDER = new FieldWriter().number(Tag.fileMode, 0o040755).finish();
let machine: HostileMachine;
let banger: Installation;
let agent: HostileAgent;

beforeAll(async () => {
  machine = await startHostileMachine(VM);
  ({ banger, agent } = machine);
});

afterAll(async () => {
  await machine?.[Symbol.asyncDispose]();
});

const attacks: { name: string; says: RegExp; attack: (opening: Opening) => void }[] = [
  {
    name: "a frame that is too long",
    says: /frame too long/,
    attack: ({ raw }) => raw(Uint8Array.from([18, 0, 255, 255, 1, 0, 0, 0])),
  },
  {
    name: "a stream that nobody opened",
    says: /unknown stream/,
    attack: ({ send, raw }) => {
      send(FrameType.opened, WINDOW);
      raw(Uint8Array.from([18, 1, 1, 0, 99, 0, 0, 0, 7, 0xe7]));
    },
  },
  {
    name: "half a frame, and then another one",
    says: /frame without trailer/,
    attack: ({ send, raw }) => {
      raw(Uint8Array.from([18, 1, 200, 0, 1, 0, 0, 0, 1, 2, 3]));
      send(FrameType.data, new Uint8Array(1000), 1);
    },
  },
  {
    name: "frames without bytes, and without end",
    says: /empty frame|The command in the guest/,
    attack: ({ send }) => {
      for (let count = 0; count < 20_000; count++) send(FrameType.data, undefined, 1);
    },
  },
];

for (const { name, says, attack } of attacks) {
  test(`${name}: the call fails with what is wrong, and the next one is served`, async () => {
    const pid = await machine.daemonPid();
    agent.onOpen = attack;
    const { status, stderr } = await banger.call(["vm", "exec", VM, "--", "true"]);
    expect({ status, stderr }).toMatchObject({ status: 125, stderr: expect.stringMatching(says) });
    agent.onOpen = (opening) => opening.answer(new TextEncoder().encode("well\n"));
    expect(await banger.ok("vm", "exec", VM, "--", "true")).toBe("well\n");
    expect(await banger.ok("daemon", "logs")).toMatch(says);
    await machine.assertWell(pid);
  });
}

test("more than was granted ends the connection, whatever reads it", async () => {
  const pid = await machine.daemonPid();
  agent.onOpen = (opening) => {
    if (!opening.argv.includes("tar-in")) return opening.answer(FOLDER);
    // An extraction has an answer of a few bytes: no more is ever granted.
    opening.send(FrameType.opened, WINDOW);
    opening.send(FrameType.data, new Uint8Array(2 * MiB), 1);
  };
  const { status, stderr } = await banger.call(["vm", "cp", "qemu", `${VM}:/x`]);
  expect({ status, stderr }).toMatchObject({
    status: 14,
    stderr: expect.stringMatching(/flow control violation/),
  });
  await machine.assertWell(pid);
});

test("answers of programs that are too long or malformed are refused", async () => {
  const pid = await machine.daemonPid();
  const call = machine.answered;
  const nonsense = new Uint8Array(300).fill(0xff);
  expect(await call(nonsense, "vm", "stat", `${VM}:/etc`)).toMatch(/^14 .*malformed/);
  expect(await call(nonsense, "vm", "ls", `${VM}:/etc`)).toMatch(/^14 .*malformed/);
  expect(await call(nonsense, "vm", "ports", VM)).toMatch(/^14 .*malformed/);
  expect(await call(nonsense, "vm", "watch", `${VM}:/etc`)).toMatch(/^14 .*malformed/);
  const long = new Uint8Array(400 * 1024);
  expect(await call(long, "vm", "stat", `${VM}:/etc`)).toMatch(/^11 .*too long/);
  await machine.assertWell(pid);
});

test("names in a machine cannot steer the terminal", async () => {
  const entry = new FieldWriter()
    .text(Tag.fileName, "a\u001b[2Jb\nc")
    .number(Tag.fileMode, 0o100644);
  const list = new FieldWriter().bytes(Tag.entry, entry.finish()).finish();
  agent.onOpen = (opening) => opening.answer(list);
  const output = await banger.ok("vm", "ls", `${VM}:/`);
  expect(output).not.toContain("\u001b");
  expect(output.trimEnd().split("\n").length).toBe(2);
});

test("archives that lead out of the folder write nothing there", async () => {
  const pid = await machine.daemonPid();
  const copy = async (archive: Uint8Array) => {
    agent.onOpen = (opening) => opening.answer(opening.argv.includes("tar-out") ? archive : FOLDER);
    const { status, stderr } = await banger.call(["vm", "cp", `${VM}:/x/.`, "out/in"]);
    return `${status} ${stderr.split("\n")[0]}`;
  };
  mkdirSync(join(banger.home, "out"));
  const passwd = readFileSync("/etc/passwd", "utf8");
  expect(await copy(makeTar([file("../escaped", "x")]))).toMatch(/^2 .*leaves the directory/);
  expect(await copy(makeTar([symlink("link", ".."), file("link/escaped", "x")]))).toMatch(
    /^2 .*symbolic links are not followed/,
  );
  expect(await copy(makeTar([hardLink("own", "../../etc/passwd")]))).toMatch(
    /^2 .*leaves the directory/,
  );
  expect(await copy(makeTar([symlink("abs", "/etc"), file("abs/passwd", "x")]))).toStartWith("2 ");
  await copy(makeTar([file("/absolute", "inside", { mode: 0o4755, uid: 0 })]));
  expect(readFileSync(join(banger.home, "out/in/absolute"), "utf8")).toBe("inside");
  expect(readdirSync(join(banger.home, "out")).sort()).toEqual(["in"]);
  expect(readFileSync("/etc/passwd", "utf8")).toBe(passwd);
  await machine.assertWell(pid);
});

/** Answers of `stat` and of the archive, as the machine would have them. */
function tells(info: { mode: number; size_bytes?: number }, archive: Uint8Array): void {
  const { mode, size_bytes = 0 } = info;
  const fields = new FieldWriter()
    .number(Tag.fileMode, mode)
    .number(Tag.fileSize_bytes, size_bytes);
  const isFolder = (mode & 0o170000) === 0o040000;
  agent.onOpen = ({ argv, answer }) => {
    if (argv.includes("tar-out")) return answer(archive);
    // The first question is whether the path is a folder: "PATH/.".
    if (isFolder || !argv.some((word) => word.endsWith("/."))) return answer(fields.finish());
    answer(new FieldWriter().number(Tag.fileMode, 0o100644).finish());
  };
}

test("cp takes what was asked for, and nothing beside it", async () => {
  const pid = await machine.daemonPid();
  const home = join(banger.home, "user");
  mkdirSync(join(home, ".ssh"), { recursive: true, mode: 0o700 });
  const key = join(home, ".ssh/authorized_keys");
  writeFileSync(key, "my key", { mode: 0o600 });
  writeFileSync(join(home, ".bashrc"), "mine");
  const copy = async (path: string, target: string) => {
    const { status, stderr } = await banger.call(["vm", "cp", `${VM}:${path}`, target]);
    return `${status} ${stderr}`;
  };
  const ok = file("report.txt", "ok");
  const inTheWay: [string, Buffer][] = [
    ["another file", makeTar([file(".bashrc", "evil")])],
    ["one more file", makeTar([ok, file(".ssh/authorized_keys", "evil")])],
    ["a folder's mode", makeTar([dir(".ssh", { mode: 0o777 }), ok])],
    ["a link to a key", makeTar([symlink("report.txt", ".ssh/authorized_keys")])],
    ["a name of a key", makeTar([hardLink("report.txt", ".ssh/authorized_keys")])],
    ["more than it said", makeTar([file("report.txt", "x".repeat(3000))])],
    ["nothing", makeTar([])],
  ];
  for (const [name, archive] of inTheWay) {
    tells({ mode: 0o100644, size_bytes: 2 }, archive);
    expect([name, await copy("/root/report.txt", "user/report.txt")]).toEqual([
      name,
      expect.stringMatching(/^1[14] [\s\S]*Cannot extract the guest's archive/),
    ]);
  }
  tells({ mode: 0o040755 }, makeTar([dir("app"), file("app/a", "a"), file(".bashrc", "evil")]));
  expect(await copy("/srv/app", "user")).toMatch(/^14 [\s\S]*"\.bashrc" was not asked for/);
  expect(readdirSync(home).sort()).toEqual([".bashrc", ".ssh", "app"]);
  expect(readFileSync(join(home, ".bashrc"), "utf8")).toBe("mine");
  expect(readFileSync(key, "utf8")).toBe("my key");
  expect([statSync(key).nlink, statSync(join(home, ".ssh")).mode & 0o777]).toEqual([1, 0o700]);
  tells({ mode: 0o100644, size_bytes: 2 }, makeTar([ok]));
  expect(await copy("/root/report.txt", "user/report.txt")).toStartWith("0 ");
  expect(readFileSync(join(home, "report.txt"), "utf8")).toBe("ok");
  await machine.assertWell(pid);
});

test("cp takes no more than is free where it goes", async () => {
  const small = join(banger.home, "small");
  mkdirSync(small);
  expect(Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", small]).exitCode).toBe(
    0,
  );
  try {
    tells(
      { mode: 0o100644, size_bytes: BIG_BYTES },
      makeTar([file("big", new Uint8Array(BIG_BYTES))]),
    );
    const { status, stderr } = await banger.call(["vm", "cp", `${VM}:/big`, "small/big"]);
    expect({ status, stderr }).toMatchObject({ status: 16, stderr: expect.stringMatching(/free/) });
    expect(readdirSync(small)).toEqual([]);
  } finally {
    Bun.spawnSync(["umount", small]);
  }
});

test("output without end reaches whoever reads it, at their pace, and piles up nowhere", async () => {
  const pid = await machine.daemonPid();
  const block = new Uint8Array(30_000);
  agent.onOpen = ({ send }) => {
    send(FrameType.opened, WINDOW);
    // As much as is granted at first: who reads slowly must not be drowned.
    for (let sent = 0; sent + block.length < MiB; sent += block.length)
      send(FrameType.data, block, 1);
  };
  const endless = banger.spawn(["vm", "exec", VM, "--", "yes"]);
  const { value } = await endless.stdout.getReader().read();
  expect(value?.length).toBeGreaterThan(0);
  endless.kill("SIGKILL");
  await endless.exited;
  await machine.assertWell(pid);
});

test("an agent that never answers is given up after a time, and others are served meanwhile", async () => {
  const pid = await machine.daemonPid();
  agent.onOpen = () => {};
  agent.isSilent = true;
  const waiting = banger.call(["vm", "exec", "--timeout", "1s", VM, "--", "true"], {
    timeout_ms: LIMIT_MS,
  });
  const health = banger.call(["vm", "health", VM]);
  expect((await banger.call(["vm", "list"])).status).toBe(0);
  expect((await health).status).toBe(8);
  agent.isSilent = false;
  agent.onOpen = ({ raw }) => raw(Uint8Array.from([18, 0, 255, 255, 1, 0, 0, 0]));
  await banger.call(["vm", "exec", VM, "--", "true"]);
  expect((await waiting).status).toBe(125);
  await machine.assertWell(pid);
});

testVerbs(VM, () => machine);
