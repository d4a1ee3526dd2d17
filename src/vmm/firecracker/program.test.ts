import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runOk } from "#base/run.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { type CheckOptions, firecrackerChecks } from "./checks.ts";
import { jailerFor } from "./launch.ts";
import {
  findFirecracker,
  findJailer,
  isAtLeast,
  isFirecrackerInstalled,
  jailObstacle,
} from "./program.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync("/tmp/banger-fc-program-");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A program that says no more than its version, as both of them do. */
function program(name: string, says: string): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\nprintf '${says}\\n\\n'\n`, { mode: 0o755 });
  return path;
}

test("versions are compared by their numbers", () => {
  expect(isAtLeast("1.14.0", "1.7")).toBe(true);
  expect(isAtLeast("1.7.0", "1.7")).toBe(true);
  expect(isAtLeast("1.6.9", "1.7")).toBe(false);
  expect(isAtLeast("2.0.0", "1.16")).toBe(true);
});

test("findFirecracker() gives path and version", async () => {
  const path = program("firecracker", "Firecracker v1.12.1");
  expect(await findFirecracker(path)).toEqual({ path, version: "1.12.1" });
});

test("without a path it is looked for on PATH", async () => {
  const before = process.env["PATH"];
  const path = program("firecracker", "Firecracker v1.7.0");
  try {
    process.env["PATH"] = `${folder}:${before}`;
    expect(await findFirecracker()).toEqual({ path, version: "1.7.0" });
    expect(isFirecrackerInstalled()).toBe(true);
    expect(isFirecrackerInstalled(join(folder, "none"))).toBe(false);
  } finally {
    process.env["PATH"] = before;
  }
});

test("findFirecracker() refuses none, an old one, and something else", async () => {
  const none = await bangerErrorOf(findFirecracker(join(folder, "none")));
  expect([none.code, none.hint?.includes("1.7")]).toEqual(["not_found", true]);
  const old = await bangerErrorOf(findFirecracker(program("old", "Firecracker v1.4.1")));
  expect(old.code).toBe("unsupported");
  expect(old.message).toContain("version 1.4.1 is older than 1.7");
  const other = await bangerErrorOf(findFirecracker(program("other", "Something v9.9.9")));
  expect(other.message).toContain("cannot detect its version");
});

test("the jailer lies beside Firecracker and is of the same version", async () => {
  const firecracker = await findFirecracker(program("firecracker", "Firecracker v1.12.1"));
  expect(await findJailer(firecracker, "no-such-jailer")).toBeUndefined();
  const path = program("jailer", "Jailer v1.12.1");
  expect((await findJailer(firecracker, "no-such-jailer"))?.path).toBe(path);
  const wrong = program("wrong", "Jailer v1.12.0");
  const failure = await bangerErrorOf(findJailer(firecracker, wrong));
  expect(failure.message).toContain("its version is 1.12.0, Firecracker's is 1.12.1");
});

test("doctor is told what was found, and that machines run anyway", async () => {
  const [missing] = await firecrackerChecks({ program: join(folder, "none") });
  expect(missing).toMatchObject({
    status: "warn",
    detail: "not installed; machines run on QEMU",
  });
  const old = program("old", "Firecracker v1.4.1");
  expect((await firecrackerChecks({ program: old }))[0]?.detail).toContain("older than 1.7");
  const path = program("firecracker", "Firecracker v1.12.1");
  const [found, jailer] = await firecrackerChecks({ program: path, jailer: false });
  expect(found?.detail).toContain(`${path} 1.12.1`);
  expect(jailer).toMatchObject({ id: "firecracker.jailer", status: "ok" });
  expect(jailer?.detail).toContain("disabled");
});

test("root's machines are jailed by default, and those of others never", async () => {
  const firecracker = await findFirecracker(program("firecracker", "Firecracker v1.12.1"));
  const path = program("jailer", "Jailer v1.12.1");
  expect(await jailerFor(firecracker, undefined, { uid: 0 })).toEqual({ path, version: "1.12.1" });
  expect(await jailerFor(firecracker, undefined, { uid: 1000 })).toBeUndefined();
  expect(await jailerFor(firecracker, false, { uid: 0 })).toBeUndefined();
});

test("doctor explains when machines are jailed", async () => {
  const firecracker = program("firecracker", "Firecracker v1.12.1");
  const jailerCheck = async (options: CheckOptions) =>
    (await firecrackerChecks({ program: firecracker, ...options }))[1];
  const jailer = join(folder, "jailer");
  expect(await jailerCheck({ jailer, uid: 0 })).toMatchObject({
    status: "warn",
    detail: "not installed; Firecracker runs with seccomp filters only, as root",
    fix: expect.stringContaining("beside firecracker"),
  });
  program("jailer", "Jailer v1.12.0");
  expect(await jailerCheck({ jailer, uid: 0 })).toMatchObject({
    status: "fail",
    detail: expect.stringContaining("its version is 1.12.0"),
    fix: expect.stringContaining("from the same release"),
  });
  expect((await jailerCheck({ jailer, uid: 1000 }))?.detail).toContain("requires root");
  rmSync(jailer);
  program("jailer", "Jailer v1.12.1");
  expect(await jailerCheck({ jailer, uid: 0 })).toMatchObject({
    status: "ok",
    detail: `${jailer} 1.12.1`,
  });
});

test("a Firecracker that wants a dynamic linker cannot be run in the jailer, and without it can", async () => {
  const dynamic = join(folder, "dynamic");
  const source = join(folder, "firecracker.c");
  writeFileSync(source, '#include <stdio.h>\nint main(void) { puts("Firecracker v1.12.1"); }\n');
  const compile = (...flags: string[]) => runOk(["gcc", ...flags, "-o", dynamic, source]);
  program("jailer", "Jailer v1.12.1");
  await compile("-static");
  const found = await findFirecracker(dynamic);
  expect((await findJailer(found, "no-such-jailer"))?.path).toBe(join(folder, "jailer"));
  expect(jailObstacle(dynamic, "no-such-jailer")).toBeUndefined();
  await compile();
  const refused = await bangerErrorOf(findJailer(found, "no-such-jailer"));
  expect(refused.code).toBe("unsupported");
  expect(refused.message).toContain(`"${dynamic}" is dynamically linked`);
  expect(refused.hint).toContain('firecracker_jailer = "off"');
  expect(jailObstacle(dynamic, "no-such-jailer")).toContain("is dynamically linked");
  const checks = await firecrackerChecks({ program: dynamic, jailer: "no-such-jailer", uid: 0 });
  expect(checks[1]).toMatchObject({ status: "fail", detail: refused.message, fix: refused.hint });
  const off = await firecrackerChecks({ program: dynamic, jailer: false, uid: 0 });
  expect(off[1]).toMatchObject({ status: "ok", detail: expect.stringContaining("disabled") });
  rmSync(join(folder, "jailer"));
  expect(jailObstacle(dynamic, "no-such-jailer")).toBeUndefined();
});
