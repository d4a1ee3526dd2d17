import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runOk } from "#base/run.ts";
import { makePaths } from "#config/paths.ts";
import { installSshConfig, uninstallSshConfig } from "./install.ts";

let folder: string;
let paths: ReturnType<typeof makePaths>;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger o'brien é 5% [x] "));
  const root = (name: string) => join(folder, name);
  paths = makePaths({
    config: root("config"),
    state: root("state"),
    cache: root("cache"),
    runtime: root("run"),
  });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const OWN = "Host *\n    User me\n\nHost far\n    Port 2222\n";

/** What ssh makes of the file. */
async function optionsOf(file: string, host: string): Promise<string[]> {
  return (await runOk(["ssh", "-F", file, "-G", host])).split("\n");
}

test("installSshConfig() is seen by ssh before what the user has, and only for machines", async () => {
  const file = join(folder, ".ssh/config");
  expect(installSshConfig(paths, file)).toBe(true);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  writeFileSync(file, readFileSync(file, "utf8") + OWN);
  expect(installSshConfig(paths, file)).toBe(false);
  const machine = await optionsOf(file, "testbox.vm");
  expect(machine).toContain("user root");
  expect(machine).toContain(`userknownhostsfile ${paths.knownHosts}`);
  expect(machine).toContain("stricthostkeychecking true");
  const far = await optionsOf(file, "far");
  expect(far).toContain("user me");
  expect(far).toContain("port 2222");
  expect(far.join("\n")).not.toContain("ssh-proxy");
});

test("a name that would end the shell's quotes is not ours to take", async () => {
  const file = join(folder, ".ssh/config");
  installSshConfig(paths, file);
  const other = await optionsOf(file, "x'$(touch y)'.vm").catch(() => [""]);
  expect(other.join("\n")).not.toContain("ssh-proxy");
  const own = await optionsOf(file, "testbox.vm");
  expect(own.find((line) => line.startsWith("proxycommand"))).toEndWith("ssh-proxy '%n'");
});

test("uninstallSshConfig() leaves the file as it was", () => {
  const real = join(folder, "dotfiles");
  const file = join(folder, "config-link");
  writeFileSync(real, OWN);
  chmodSync(real, 0o640);
  symlinkSync(real, file);
  installSshConfig(paths, file);
  expect(readFileSync(real, "utf8")).toEndWith(OWN);
  expect(uninstallSshConfig(paths, file)).toBe(true);
  expect(uninstallSshConfig(paths, file)).toBe(false);
  expect(readFileSync(real, "utf8")).toBe(OWN);
  expect(lstatSync(file).isSymbolicLink()).toBe(true);
  expect(statSync(real).mode & 0o777).toBe(0o640);
  expect(existsSync(paths.sshConfig)).toBe(false);
});
