/** The compiled program itself: that everything is in it, and nothing of where it is run gets in. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "#cli/spec/root.ts";
import type { Node } from "#cli/spec/types.ts";
import { type Installation, install } from "#test/installation.ts";
import { processesOf } from "#test/processes.ts";

const BIN = join(import.meta.dir, "../../build/bin");
const PT_INTERP = 3;

let banger: Installation;

beforeAll(() => {
  banger = install();
});

afterAll(async () => {
  await banger?.[Symbol.asyncDispose]();
});

describe("build/bin", () => {
  test("bangerd is banger", () => {
    expect(statSync(join(BIN, "bangerd")).ino).toBe(statSync(join(BIN, "banger")).ino);
  });

  test("the guest's binary needs no interpreter and no library", () => {
    const elf = readFileSync(join(BIN, "banger-vsock-agent"));
    const [offset, size, count] = [
      Number(elf.readBigUInt64LE(32)),
      elf.readUInt16LE(54),
      elf.readUInt16LE(56),
    ];
    const types = Array.from({ length: count }, (_, index) =>
      elf.readUInt32LE(offset + index * size),
    );
    expect(types.length).toBeGreaterThan(0);
    expect(types).not.toContain(PT_INTERP);
  });
});

describe("every command", () => {
  for (const words of leaves(root)) {
    test(`banger ${words.join(" ")} --help`, async () => {
      const { status, stdout } = await banger.call([...words, "--help"]);
      expect(stdout).toMatch(/usage/i);
      expect(stdout).toMatch(/banger /);
      expect(status).toBe(0);
    });
  }

  test("help, version and completion start no daemon", async () => {
    await banger.ok("version");
    for (const shell of ["bash", "zsh", "fish"]) {
      expect(await banger.ok("completion", shell)).toContain("banger");
    }
    expect(banger.processes()).toEqual([]);
  });
});

describe("the folder that it is run in", () => {
  test("cannot make it load bunfig.toml or .env", async () => {
    const mark = join(banger.home, "mark");
    writeFileSync(join(banger.home, "evil.ts"), `await Bun.write(${JSON.stringify(mark)}, "x")`);
    writeFileSync(join(banger.home, "bunfig.toml"), 'preload = ["./evil.ts"]\n');
    writeFileSync(join(banger.home, ".env"), "XDG_STATE_HOME=/nonexistent\n");
    await banger.ok("version");
    expect(await banger.ok("config", "show")).not.toContain("/nonexistent");
    expect(existsSync(mark)).toBe(false);
  });
});

describe("the daemon", () => {
  test("starts, says who it is, and ends", async () => {
    await banger.ok("daemon", "start");
    const status = await banger.json<{ pid: number; version: string }>("daemon", "status");
    expect(banger.processes().map(({ pid }) => pid)).toContain(status.pid);
    expect(status.version).toBe((await banger.json<{ version: string }>("version")).version);
    await banger.ok("daemon", "stop");
    expect(banger.processes()).toEqual([]);
  });

  test("is started by whatever needs it, and its socket is nobody else's", async () => {
    expect(await banger.json<unknown[]>("vm", "list")).toEqual([]);
    const socket = join(banger.home, "run/banger/daemon.sock");
    expect(statSync(socket).mode & 0o077).toBe(0);
  });

  test("serves its OpenAPI document", async () => {
    const unix = join(banger.home, "run/banger/daemon.sock");
    const response = await fetch("http://localhost/openapi.json", { unix });
    const document = (await response.json()) as { openapi: string; paths: Record<string, unknown> };
    expect(document.openapi).toMatch(/^3\.1/);
    expect(Object.keys(document.paths).length).toBeGreaterThan(10);
  });
});

test("an installation whose test is killed leaves no process and no folder", async () => {
  const script = `
    import { install } from "#test/installation.ts";
    const banger = install();
    await banger.ok("daemon", "start");
    console.log(banger.home);
    await new Promise(() => setInterval(() => {}, 1000));
  `;
  const file = join(import.meta.dir, `.killed-${process.pid}.ts`);
  writeFileSync(file, script);
  const child = Bun.spawn([process.execPath, file], { stdout: "pipe", stderr: "inherit" });
  try {
    const { value } = await child.stdout.getReader().read();
    const home = new TextDecoder().decode(value).trim();
    expect(
      processesOf(home)
        .map(({ command }) => command)
        .join(),
    ).toContain("daemon run");
    child.kill("SIGKILL");
    while (existsSync(home) || processesOf(home).length > 0) await Bun.sleep(20);
  } finally {
    child.kill("SIGKILL");
    rmSync(file, { force: true });
  }
});

function leaves(node: Node, words: string[] = []): string[][] {
  if (node.kind === "command") return [words];
  return Object.entries(node.commands).flatMap(([name, child]) => leaves(child, [...words, name]));
}
