import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makePaths, resolveRoots } from "#config/paths.ts";
import { resolveConfig } from "#config/resolve.ts";
import { createDrivers, firecrackerOptions } from "./drivers.ts";

let home = "";
beforeEach(() => {
  home = mkdtempSync("/tmp/banger-monitors-");
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

async function valuesOf(toml: string) {
  const paths = makePaths(resolveRoots({}, home));
  mkdirSync(paths.roots.config, { recursive: true });
  writeFileSync(paths.configFile, toml);
  return (await resolveConfig({}, paths)).values;
}

test("firecracker_bin is all that the real program needs", async () => {
  const program = join(home, "fc");
  writeFileSync(program, "#!/bin/sh\necho 'Firecracker v1.9.0'\n", { mode: 0o755 });
  const drivers = createDrivers(await valuesOf(`firecracker_bin = "${program}"\n`));
  expect(drivers.map(({ name }) => name).sort()).toEqual(["firecracker", "qemu"]);
  const firecracker = drivers.find(({ name }) => name === "firecracker");
  expect(firecracker?.isInstalled()).toBe(true);
  expect((await firecracker?.checks())?.[0]?.detail).toContain(`${program} 1.9.0`);
  const absent = createDrivers(await valuesOf(`firecracker_bin = "${program}-not"\n`));
  expect(absent.find(({ name }) => name === "firecracker")?.isInstalled()).toBe(false);
});

test("machines on Firecracker have a serial console unless it is turned off", async () => {
  expect(firecrackerOptions(await valuesOf(""))).toEqual({
    program: "firecracker",
    jailer: "jailer",
    serial: true,
  });
  const off = await valuesOf('firecracker_console = "off"\n');
  expect(firecrackerOptions(off)).toMatchObject({ serial: false });
});

test("the jailer is another one, or none, when the configuration says so", async () => {
  const off = await valuesOf('firecracker_jailer = "off"\n');
  expect(firecrackerOptions(off)).toMatchObject({ jailer: false });
  const other = await valuesOf('firecracker_jailer = "/opt/jailer"\n');
  expect(firecrackerOptions(other)).toMatchObject({ jailer: "/opt/jailer" });
});
