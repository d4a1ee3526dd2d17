/** Which images can have an init system, and what those without one run. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { machineCommand } from "./exec.ts";
import { canHaveInit, hasOwnInit } from "./mode.ts";

function image(paths: readonly string[], release?: string) {
  return {
    has: (path: string) => paths.includes(path),
    read: (path: string) => (path === "/etc/os-release" ? release : undefined),
  };
}

test("an init system, or a package manager of the distribution's own, is enough", () => {
  expect(canHaveInit(image(["/lib/systemd/systemd"]))).toBe(true);
  expect(canHaveInit(image(["/sbin/init"]))).toBe(true);
  expect(canHaveInit(image(["/sbin/init", "/bin/busybox", "/etc/inittab"]))).toBe(true);
  expect(canHaveInit(image(["/usr/bin/apt-get"], "ID=debian\n"))).toBe(true);
  expect(canHaveInit(image(["/sbin/apk"], 'NAME="x"\nID=alpine\n'))).toBe(true);
  expect(canHaveInit(image(["/usr/bin/dnf"], 'ID="rocky"\nID_LIKE="rhel centos fedora"\n'))).toBe(
    true,
  );
  expect(canHaveInit(image(["/usr/bin/zypper"], "ID=opensuse-leap\n"))).toBe(true);
});

test("neither is not", () => {
  expect(canHaveInit(image([]))).toBe(false);
  expect(canHaveInit(image(["/bin/sh"], "ID=busybox\n"))).toBe(false);
  expect(canHaveInit(image(["/sbin/init", "/bin/busybox"]))).toBe(false);
  expect(canHaveInit(image([], "ID=debian\n"))).toBe(false);
  expect(canHaveInit(image(["/usr/bin/apt-get"], "ID=other\n"))).toBe(false);
});

test("an image that starts its services by an init of its own keeps it", () => {
  expect(hasOwnInit({ entrypoint: ["/init"], cmd: ["nginx"] })).toBe(true);
  expect(hasOwnInit({ entrypoint: ["/sbin/init"] })).toBe(false);
  expect(hasOwnInit({ cmd: ["/init"] })).toBe(false);
});

test("the families are those of the first boot", () => {
  const script = readFileSync(join(import.meta.dir, "../../guest/boot/first-boot.sh"), "utf8");
  const lines = script.match(/^\t\t[\w |*]+\) echo \w+ && return 0 ;;$/gm) ?? [];
  expect(lines.length).toBeGreaterThan(4);
  for (const name of lines.flatMap((line) => line.split(")")[0]?.trim().split(" | ") ?? [])) {
    const release = `ID=${name.replace("*", "-leap")}\n`;
    const managers = ["apt-get", "apk", "dnf", "pacman", "zypper"].map(
      (each) => `/usr/bin/${each}`,
    );
    expect([name, canHaveInit(image(managers, release))]).toEqual([name, true]);
  }
});

const direct = { mode: "direct" } as const;
const nginx = { entrypoint: ["/entry.sh"], cmd: ["nginx", "-g", "daemon off;"] };

test("a machine runs the image's command, what was given instead, or nothing", () => {
  expect(machineCommand(nginx, direct)).toEqual(["/entry.sh", "nginx", "-g", "daemon off;"]);
  expect(machineCommand(nginx, { ...direct, command: ["x"] })).toEqual(["/entry.sh", "x"]);
  expect(machineCommand(nginx, { ...direct, entrypoint: ["/own"] })).toEqual(["/own"]);
  expect(machineCommand(nginx, { ...direct, entrypoint: [], command: ["x"] })).toEqual(["x"]);
  expect(machineCommand(nginx, { ...direct, command: [] })).toBeUndefined();
  expect(machineCommand(nginx, { ...direct, ephemeral: true })).toBeUndefined();
  expect(machineCommand(nginx, { ...direct, isBuild: true })).toBeUndefined();
  expect(machineCommand({}, direct)).toBeUndefined();
});

test("a bare shell is nothing to run, unless it was asked for", () => {
  for (const cmd of [["bash"], ["/bin/sh"], ["/usr/bin/zsh"], ["bash", "-l"], ["/bin/ash", "-i"]]) {
    expect([cmd, machineCommand({ cmd }, direct)]).toEqual([cmd, undefined]);
  }
  for (const cmd of [["sh", "-c", "serve"], ["push"], ["/bin/sh", "/run.sh"], ["fresh"]]) {
    expect(machineCommand({ cmd }, direct)).toEqual(cmd);
  }
  expect(machineCommand({ cmd: ["bash"] }, { ...direct, command: ["sh"] })).toEqual(["sh"]);
});

test("a machine with an init system has none", () => {
  const systemd = { mode: "systemd" } as const;
  expect(machineCommand(nginx, systemd)).toBeUndefined();
  expect(machineCommand(nginx, { ...systemd, command: [] })).toBeUndefined();
  expect(() => machineCommand(nginx, { ...systemd, command: ["x"] })).toThrow(
    "boots an init system",
  );
});
