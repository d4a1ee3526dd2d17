import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makePaths, resolveRoots } from "./paths.ts";
import { currentPaths, resolveConfig } from "./resolve.ts";

let home = "";
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "banger-config-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

function resolveWith(toml: string | undefined, env: Record<string, string> = {}) {
  const paths = makePaths(resolveRoots(env, home));
  if (toml !== undefined) {
    mkdirSync(paths.roots.config, { recursive: true });
    writeFileSync(paths.configFile, toml);
  }
  return resolveConfig(env, paths);
}

test("every key has its default when nothing is said", async () => {
  const { values, origins } = await resolveWith(undefined);
  expect(values.default_image_name).toBe("debian-bookworm");
  expect(values["vm.cpus"]).toBe(2);
  expect(values.firecracker_bin).toBe("firecracker");
  expect(values.firecracker_console).toBe("on");
  expect(new Set(Object.values(origins))).toEqual(new Set(["default"]));
});

test("the file wins over the default, the environment over the file", async () => {
  const toml = 'default_kernel = "generic-6.12"\n[vm]\nmemory = "2G"\ncpus = 4\n';
  const { values, origins, paths } = await resolveWith(toml, { BANGER_VM_CPUS: "8" });
  expect(values.default_kernel).toBe("generic-6.12");
  expect(values["vm.memory"]).toBe(2 * 1024 ** 3);
  expect(values["vm.cpus"]).toBe(8);
  expect(origins["vm.memory"]).toBe(paths.configFile);
  expect(origins["vm.cpus"]).toBe("BANGER_VM_CPUS");
});

test.each([
  ["[vm]\ncpus = 0\n", '"vm.cpus"'],
  ['vmm = "xen"\n', "must be one of auto, firecracker, qemu"],
  ["firecracker_console = true\n", "must be one of on, off"],
  ["default_imag_name = 1\n", 'unknown key "default_imag_name"'],
  ["[vm\n", "Cannot parse"],
  ['[vm]\nmemory = "lots"\n', '"vm.memory"'],
])("says what is wrong with %p", async (toml, message) => {
  await expect(resolveWith(toml)).rejects.toThrow(message);
});

test("a slip in a key's name is answered with the right one", async () => {
  await expect(resolveWith("default_imag_name = 1\n")).rejects.toMatchObject({
    hint: 'Did you mean "default_image_name"?',
  });
});

test("sockets live below the state folder where there is no runtime folder", () => {
  expect(resolveRoots({}, "/home/a").runtime).toBe("/home/a/.local/state/banger/run");
  const relative = {
    XDG_CONFIG_HOME: "c",
    XDG_STATE_HOME: "s",
    XDG_CACHE_HOME: "x",
    XDG_RUNTIME_DIR: "r",
  };
  expect(resolveRoots(relative, "/home/a")).toEqual(resolveRoots({}, "/home/a"));
  expect(() => resolveRoots({}, "home/a")).toThrow('invalid HOME "home/a"');
  expect(resolveRoots({ XDG_RUNTIME_DIR: "/run/user/7" }, "/home/a").runtime).toBe(
    "/run/user/7/banger",
  );
});

test.each([
  [0o700, "", true],
  [0o755, "", true],
  [0o777, "", false],
  [0o770, "", false],
  // As /tmp: what is there already may be anybody's, and what is new is not.
  [0o1777, "", false],
  [0o1777, "/new/run", true],
  [0o777, "/new/run", false],
  [0o700, "/new/run", true],
])("sockets in a folder of mode %o, %p below it: %p", (mode, below, isUsed) => {
  const folder = join(home, "shared");
  mkdirSync(folder);
  chmodSync(folder, mode);
  const { roots } = currentPaths({ HOME: home, XDG_RUNTIME_DIR: folder + below });
  expect(roots.runtime).toBe(
    isUsed ? `${folder}${below}/banger` : join(home, ".local/state/banger/run"),
  );
});
