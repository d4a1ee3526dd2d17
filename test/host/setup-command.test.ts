/**
 * `banger setup` and `banger dns setup` as they are typed, in a namespace of the test's own
 * with its own /etc and /run. sudo is what it leaves in the environment.
 */
import { expect } from "bun:test";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { assertUnchangeable } from "#base/files/trusted-path.ts";
import { newId } from "#base/id.ts";
import type { SetupStep } from "#net/setup/setup.ts";
import { type CliResult, cliCommand, cliEnvironment } from "#test/cli.ts";
import { testNeeding } from "#test/needs.ts";
import { attach, detach } from "#test/net-calls.ts";
import { asUser, NetLab } from "#test/net-lab.ts";

const hostTest = testNeeding("root", "ip", "nft", "setpriv", "getent");
const NOBODY_UID = 65_534;
const SUBNET = "10.241.0.0/24";

/** systemd's folders are among what is hidden: the host's must not hear of the unit. */
const MOUNTS = 'mount --bind "$LAB_ROOT/etc" /etc && mount --bind "$LAB_ROOT/run" /run';
/** As careful people have it; the user has to reach what root makes all the same. */
const UMASK = "umask 077";
/** Notes what it is called with, since the real one has no service to talk to here. */
const RESOLVECTL = '#!/bin/sh\necho "$@" >> "$(dirname "$0")/calls"\n';

interface Call {
  as?: "root" | "sudo" | "user";
  /** Instead of the program of the sources. */
  argv?: string[];
}

/** Setup takes a program of root's only, which a checkout of somebody else has to be copied for. */
function programOf(root: string): string[] {
  const fromSource = cliCommand([]);
  try {
    assertUnchangeable(fromSource, "setup");
    return fromSource;
  } catch {
    const copy = join(root, "bin/banger");
    copyFileSync(new URL("../../build/bin/banger", import.meta.url).pathname, copy);
    chmodSync(copy, 0o755);
    return [copy];
  }
}

async function commandLab() {
  const lab = await NetLab.create();
  const root = mkdtempSync(join(tmpdir(), "banger-command-"));
  chmodSync(root, 0o755);
  const bridge = `bgrt${randomBytes(3).toString("hex")}`;
  const home = join(root, "home");
  for (const folder of ["etc", "run", "bin", "home/.config/banger"]) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  copyFileSync("/etc/nsswitch.conf", join(root, "etc/nsswitch.conf"));
  const users = `root:x:0:0::/root:/bin/sh\nalice:x:${NOBODY_UID}:${NOBODY_UID}::${home}:/bin/sh\n`;
  writeFileSync(join(root, "etc/passwd"), users);
  const config = `[network]\nbridge = "${bridge}"\nsubnet = "${SUBNET}"\n`;
  writeFileSync(join(home, ".config/banger/config.toml"), config);

  const program = programOf(root);
  const banger = async (words: string[], call: Call = {}): Promise<CliResult> => {
    const { as = "sudo", argv = [...program, ...words] } = call;
    const command = ["sh", "-c", `${MOUNTS} && ${UMASK} && exec "$@"`, "sh"];
    if (as === "user") command.push(...asUser(NOBODY_UID));
    const env = cliEnvironment({
      LAB_ROOT: root,
      HOME: as === "user" ? home : "/root",
      PATH: `${join(root, "bin")}:${process.env["PATH"]}`,
    });
    const child = Bun.spawn(["ip", "netns", "exec", lab.netns("host"), ...command, ...argv], {
      env: { ...env, SUDO_UID: as === "sudo" ? String(NOBODY_UID) : undefined },
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
  };
  return {
    lab,
    root,
    bridge,
    banger,
    record: join(root, "etc/banger/setup.json"),
    unit: join(root, "etc/systemd/system/banger-network.service"),
    userDaemon: () =>
      lab.daemon({
        bridge,
        subnet: SUBNET,
        user_uid: NOBODY_UID,
        env: { LAB_ROOT: root },
        before: MOUNTS,
      }),
    [Symbol.asyncDispose]: async () => {
      await lab[Symbol.asyncDispose]();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

hostTest(
  "setup lets a user's machines run, is there after boot, and undo leaves nothing",
  async () => {
    await using all = await commandLab();
    const { lab, banger, record, unit, bridge } = all;
    const before = await lab.snapshot();
    const planned = await banger(["setup", "--taps", "2", "--dry-run", "--json"]);
    const done = await banger(["setup", "--taps", "2"]);
    expect(done).toMatchObject({ exitCode: 0, stderr: expect.stringContaining("without root") });
    const steps = JSON.parse(planned.stdout) as SetupStep[];
    for (const step of steps) {
      expect(done.stdout).toContain(step.kind === "command" ? step.command : step.path);
    }
    expect(JSON.parse(readFileSync(record, "utf8"))).toMatchObject({
      bridge,
      subnet: SUBNET,
      user_uid: NOBODY_UID,
      taps: 2,
      hostTaps: 0,
    });
    const made = await lab.snapshot();
    expect(made).toContain(bridge);

    // As the unit does it after a boot.
    const start = /^ExecStart=(.+)$/m.exec(readFileSync(unit, "utf8"))?.[1] ?? "";
    const taps = made.match(/bgr-[0-9a-f]{4}-\d/g) ?? [];
    for (const link of [...new Set(taps), bridge]) await lab.ip("host", `link del ${link}`);
    await lab.run("host", ["nft", "flush", "ruleset"]);
    rmSync(join(all.root, "run/banger"), { recursive: true });
    const restored = await banger([], { as: "root", argv: ["sh", "-c", start] });
    expect(restored).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    expect(await lab.snapshot()).toBe(made);

    const daemon = all.userDaemon();
    const [a, b] = [newId(), newId()];
    await attach(daemon, a);
    await attach(daemon, b);
    // What is not named anew stays, also where nobody says whose it is.
    expect(await banger(["setup"], { as: "root" })).toMatchObject({ exitCode: 0 });
    expect(await lab.snapshot()).toBe(made);
    expect(await banger(["setup", "--undo"])).toMatchObject({
      exitCode: 13,
      stderr: expect.stringContaining("a machine of user"),
    });
    expect(await lab.snapshot()).toBe(made);
    for (const id of [a, b]) await detach(daemon, id);

    const plannedUndo = await banger(["setup", "--undo", "--dry-run"], { as: "user" });
    expect(plannedUndo).toMatchObject({ exitCode: 0, stderr: "Dry run: nothing was changed.\n" });
    expect(await lab.snapshot()).toBe(made);
    const undone = await banger(["setup", "--undo"]);
    expect(undone).toEqual({ exitCode: 0, stdout: plannedUndo.stdout, stderr: "" });
    expect(undone.stdout).toContain("/etc/banger/setup.json");
    expect(await lab.snapshot()).toBe(before);
    for (const path of [dirname(record), unit, join(all.root, "run/banger")]) {
      expect(existsSync(path)).toBe(false);
    }
    expect(await banger(["setup", "--undo"])).toMatchObject({
      exitCode: 4,
      stderr: expect.stringContaining("sudo banger setup"),
    });
  },
);

hostTest("a dry run of a user shows everything and does nothing", async () => {
  await using all = await commandLab();
  const { lab, banger, bridge } = all;
  const before = await lab.snapshot();
  const text = await banger(["setup", "--dry-run", "--host-taps", "1"], { as: "user" });
  expect(text).toMatchObject({ exitCode: 0, stderr: "Dry run: nothing was changed.\n" });
  expect(text.stdout).toMatch(/^STEP +WHAT\n/);
  expect(text.stdout).toContain(`ip link add name ${bridge}`);
  expect(text.stdout.match(/mode tap user 65534/g)).toHaveLength(9);
  expect(text.stdout).toContain("WantedBy=multi-user.target");
  expect(text.stdout).toContain("masquerade");
  expect(text.stdout).toContain('"hostTaps": 1');
  const json = await banger(["setup", "--dry-run", "--json"], { as: "user" });
  const kinds = (JSON.parse(json.stdout) as SetupStep[]).map(({ kind }) => kind);
  expect(kinds.filter((kind) => kind === "file")).toHaveLength(2);
  expect(json.stderr).toBe("");
  expect(await lab.snapshot()).toBe(before);
  expect(existsSync(join(all.root, "etc/banger"))).toBe(false);
  expect(existsSync(join(all.root, "etc/systemd"))).toBe(false);
});

hostTest("what cannot be set up is refused before anything is made", async () => {
  await using all = await commandLab();
  const { lab, banger } = all;
  const before = await lab.snapshot();
  for (const words of [["setup"], ["setup", "--undo"], ["setup", "--restore"]]) {
    expect(await banger(words, { as: "user" })).toMatchObject({
      exitCode: 9,
      stdout: "",
      stderr: expect.stringContaining(`root is required\nhint: sudo banger ${words.join(" ")}\n`),
    });
  }
  const wrong: [string[], number, string][] = [
    [["setup", "--taps", "0"], 2, 'invalid value for taps: "0"'],
    [["setup", "--taps", "many"], 2, "--taps"],
    [["setup", "--taps", "254"], 11, "addresses"],
    [["setup", "--user", "no-such-user"], 4, '"no-such-user"'],
    [["setup", "--user", "--help-me"], 4, '"--help-me"'],
    [["setup", "--user", "root"], 2, "--user NAME"],
    [["setup", "--undo", "--taps", "4"], 2, "--taps and --undo"],
    [["setup", "--undo", "--restore"], 2, "--undo and --restore"],
    [["setup", "--restore"], 4, "sudo banger setup"],
  ];
  for (const [words, exitCode, text] of wrong) {
    expect(await banger(words)).toMatchObject({
      exitCode,
      stdout: "",
      stderr: expect.stringContaining(text),
    });
  }
  // A shell of root's own does not say whose machines.
  expect(await banger(["setup"], { as: "root" })).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("--user NAME"),
  });
  expect(await lab.snapshot()).toBe(before);
  expect(existsSync(join(all.root, "etc/banger"))).toBe(false);
});

hostTest("root reads a user's files with that user's rights, and quotes none of them", async () => {
  await using all = await commandLab();
  const { lab, banger, bridge, root } = all;
  const file = join(root, "home/.config/banger/config.toml");
  const secret = join(root, "secret");
  writeFileSync(secret, "the-secret = of root [\n", { mode: 0o600 });
  const open = join(root, "home/open");
  writeFileSync(open, "[network\nthe-secret of somebody\n", { mode: 0o644 });
  const good = readFileSync(file);
  const refused = async (make: () => void): Promise<string> => {
    rmSync(file, { recursive: true, force: true });
    make();
    const { stdout, stderr, exitCode } = await banger(["setup", "--dry-run"]);
    expect({ stdout, exitCode }).toEqual({ stdout: "", exitCode: 2 });
    expect(stderr).not.toContain("the-secret");
    return stderr;
  };
  expect(await refused(() => symlinkSync(secret, file))).toContain("EACCES");
  expect(await refused(() => symlinkSync(open, file))).toContain("invalid TOML in line 1");
  expect(await refused(() => mkfifo(file))).toContain("not a regular file");
  expect(await refused(() => symlinkSync("/dev/zero", file))).toContain("not a regular file");
  // One's own that is linked to, as people keep them.
  rmSync(file);
  writeFileSync(join(root, "home/mine.toml"), good);
  symlinkSync(join(root, "home/mine.toml"), file);
  expect(await banger(["setup", "--taps", "2"])).toMatchObject({ exitCode: 0 });

  // Whatever is in the folder of claims, nobody waits for it, and nothing outside of it goes.
  const claims = join(root, `run/banger/${bridge}-${NOBODY_UID}`);
  const [tap = "", other = ""] = [...new Set((await lab.snapshot()).match(/bgr-[0-9a-f]{4}-\d/g))];
  mkfifo(join(claims, tap));
  symlinkSync(secret, join(claims, other));
  mkdirSync(join(claims, "nested"));
  symlinkSync(root, join(claims, "nested/link"));
  expect(await banger(["setup", "--taps", "3"])).toMatchObject({ exitCode: 0 });
  expect(await banger(["setup", "--undo"])).toMatchObject({ exitCode: 0 });
  expect(existsSync(secret)).toBe(true);
});

function mkfifo(path: string): void {
  expect(Bun.spawnSync(["mkfifo", path]).exitCode).toBe(0);
}

hostTest("the unit runs no program that others than root can change", async () => {
  await using all = await commandLab();
  const { lab, banger, root } = all;
  const before = await lab.snapshot();
  // The runtime stands for the program: what is called is what the unit would call.
  const [runtime = "", ...source] = cliCommand(["setup"]);
  const make = (folder: string, change: (folder: string, program: string) => void): string => {
    mkdirSync(join(root, folder));
    const program = join(root, folder, "banger");
    copyFileSync(runtime, program);
    change(join(root, folder), program);
    return program;
  };
  const cases = {
    writable: make("writable", (folder) => chmodSync(folder, 0o777)),
    users: make("users", (folder) => chownSync(folder, NOBODY_UID, 0)),
    groups: make("groups", (folder) => {
      chownSync(folder, 0, NOBODY_UID);
      chmodSync(folder, 0o775);
    }),
  };
  for (const [kind, program] of Object.entries(cases)) {
    const result = await banger([], { argv: [program, ...source] });
    expect({ kind, ...result }).toMatchObject({
      kind,
      exitCode: 9,
      stdout: "",
      stderr: expect.stringContaining(`"${dirname(program)}" is writable by other users`),
    });
  }
  expect(await lab.snapshot()).toBe(before);
  expect(existsSync(all.unit)).toBe(false);
});

hostTest(
  "dns setup tells systemd-resolved where it runs, and people where it does not",
  async () => {
    await using all = await commandLab();
    const { banger, bridge, root } = all;
    const advice = await banger(["dns", "setup"], { as: "user" });
    expect(advice).toMatchObject({ exitCode: 0, stderr: "" });
    expect(advice.stdout).toContain("server=/vm/10.241.0.1#53");
    expect(await banger(["setup", "--taps", "1"])).toMatchObject({ exitCode: 0 });
    const json = await banger(["dns", "setup", "--json"]);
    expect(JSON.parse(json.stdout)).toEqual({
      kind: "by hand",
      advice: expect.stringContaining("server=/vm/10.241.0.1#15353"),
    });

    mkdirSync(join(root, "run/systemd/resolve"), { recursive: true });
    writeFileSync(join(root, "bin/resolvectl"), RESOLVECTL, { mode: 0o755 });
    expect(await banger(["dns", "setup"], { as: "user" })).toMatchObject({
      exitCode: 9,
      stderr: expect.stringContaining("hint: sudo banger dns setup"),
    });
    expect(existsSync(join(root, "bin/calls"))).toBe(false);
    const done = await banger(["dns", "setup"]);
    expect(done).toMatchObject({ exitCode: 0, stderr: "" });
    const calls = readFileSync(join(root, "bin/calls"), "utf8");
    expect(calls.split("\n")[0]).toBe(`dns ${bridge} 10.241.0.1:15353`);
    for (const call of calls.trim().split("\n"))
      expect(done.stdout).toContain(`resolvectl ${call}`);

    expect(await banger(["setup", "--undo"])).toMatchObject({ exitCode: 0 });
    expect(await banger(["dns", "setup"])).toMatchObject({
      exitCode: 6,
      stderr: expect.stringContaining("no such interface"),
    });
  },
);
