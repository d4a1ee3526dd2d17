import { expect, test } from "bun:test";
import { bootArgs } from "./boot-args.ts";

const X64 = { arch: "x64", devices: 4 };

test("bootArgs() of a machine without a console", () => {
  expect(bootArgs(["rdinit=/init"], { ...X64, serial: false })).toBe(
    "8250.nr_uarts=0 quiet reboot=k panic=-1 banger.poweroff=reset pci=off i8042.noaux " +
      "i8042.nomux i8042.dumbkbd random.trust_cpu=on net.ifnames=0 rdinit=/init",
  );
});

test("bootArgs() with a serial console", () => {
  const line = bootArgs([], { ...X64, serial: true });
  expect(line).toStartWith("console=ttyS0 quiet");
  expect(line).not.toContain("nr_uarts");
});

test("what the caller says replaces what we say, but brings no console back", () => {
  const args = ["console=ttyS0", "console=tty0", "panic=5", "quiet", "loglevel=7"];
  const line = bootArgs(args, { ...X64, serial: false });
  expect(line).not.toContain("ttyS0");
  expect(line).not.toContain("panic=-1");
  expect(line.split(" ").filter((arg) => arg === "quiet")).toHaveLength(1);
  expect(line).toEndWith("console=tty0 panic=5 quiet loglevel=7");
});

test("there is no keyboard controller on arm64", () => {
  expect(bootArgs([], { serial: false, devices: 4, arch: "arm64" })).not.toContain("i8042");
});

test("more devices leave less room", () => {
  const args = [`a=${"x".repeat(1500)}`];
  expect(bootArgs(args, { ...X64, serial: false })).toContain("xxx");
  expect(() => bootArgs(args, { serial: false, arch: "x64", devices: 12 })).toThrow("longer than");
});
