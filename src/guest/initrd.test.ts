import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runOk, which } from "#base/run.ts";
import { type BootRecord, decodeBootRecord } from "./boot.ts";
import { buildCpio, buildInitrd, buildStaticInitrd, moduleInitrdPath } from "./initrd.ts";

const record: BootRecord = {
  mode: "direct",
  hostname: "a",
  rootfs: { kind: "plain" },
  machineId: "0".repeat(32),
  modules: [moduleInitrdPath("b.ko.xz")],
  env: {},
  authorizedKeys: [],
  time_unix_ns: 7n,
  entropySeed: new Uint8Array(0),
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-initrd-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

const parts = {
  agent: bytes("agent"),
  firstBoot: bytes("#!/bin/sh\n"),
  modules: [{ name: "b.ko.xz", data: bytes("module") }],
};

/** The members of archives that follow each other, as the kernel reads them. */
function members(archive: Uint8Array): { name: string; mode: number; data: string }[] {
  const found: { name: string; mode: number; data: string }[] = [];
  const text = Buffer.from(archive).toString("latin1");
  for (let at = 0; at < text.length; ) {
    const number = (index: number) =>
      Number.parseInt(text.slice(at + 6 + index * 8, at + 14 + index * 8), 16);
    if (text.slice(at, at + 6) !== "070701" || at % 4 !== 0) throw new Error(`No header at ${at}`);
    const name = text.slice(at + 110, at + 110 + number(11) - 1);
    const start = (at + 110 + number(11) + 3) & ~3;
    const data = text.slice(start, start + number(6));
    found.push({ name, mode: number(1), data });
    at = (start + number(6) + 3) & ~3;
  }
  return found.filter(({ name }) => name !== "TRAILER!!!");
}

test("holds the agent as /init, the script, the modules and the record", () => {
  const initrd = buildInitrd(buildStaticInitrd(parts), record);
  const all = members(initrd);
  const files = all.filter(({ mode }) => (mode & 0o170000) === 0o100000);
  expect(files.map(({ name, mode }) => [name, mode & 0o777])).toEqual([
    ["init", 0o755],
    ["banger/first-boot", 0o755],
    ["lib/banger/b.ko.xz", 0o644],
    ["banger/boot", 0o600],
  ]);
  expect(files[0]?.data).toBe("agent");
  expect(decodeBootRecord(Buffer.from(files[3]?.data ?? "", "latin1"))).toEqual(record);
});

test("every folder comes before what lies in it", () => {
  const seen = new Set([""]);
  for (const { name } of members(buildCpio([{ path: "a/b/c", data: bytes("") }]))) {
    expect(seen.has(name.split("/").slice(0, -1).join("/"))).toBe(true);
    seen.add(name);
  }
});

test("a path that leaves the initrd is a mistake of ours", () => {
  expect(() => moduleInitrdPath("../../init")).toThrow("plain file name");
});

test.skipIf(!which("cpio"))("GNU cpio reads it [needs cpio]", async () => {
  const archive = join(folder, "a.cpio");
  writeFileSync(archive, buildStaticInitrd(parts));
  await runOk(["cpio", "--extract", "--quiet", "--no-absolute-filenames", "--file", archive], {
    cwd: folder,
  });
  expect(readFileSync(join(folder, "lib/banger/b.ko.xz"), "utf8")).toBe("module");
  expect(statSync(join(folder, "init")).mode & 0o777).toBe(0o755);
});
