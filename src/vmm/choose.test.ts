import { expect, test } from "bun:test";
import { BangerError } from "#base/error.ts";
import { chooseDriver } from "./choose.ts";
import type { Driver } from "./driver.ts";
import { createQemuDriver } from "./qemu/driver.ts";

const qemu = createQemuDriver();
const firecracker: Driver = { ...qemu, name: "firecracker" };
const kvm = { usable: true, reason: "KVM is usable" };
const noKvm = { usable: false, reason: "/dev/kvm is missing", fix: "sudo modprobe kvm" };

function codeOf(choose: () => unknown): string {
  try {
    choose();
  } catch (error) {
    if (error instanceof BangerError) return error.code;
  }
  return "none";
}

test("auto takes Firecracker with KVM, and QEMU elsewhere", () => {
  const both = [qemu, firecracker];
  expect(chooseDriver(both, "auto", kvm).driver.name).toBe("firecracker");
  expect(chooseDriver(both, "auto", noKvm).driver.name).toBe("qemu");
  expect(chooseDriver([qemu], "auto", kvm).reason).toBe("QEMU, with KVM");
  const { reason } = chooseDriver([qemu], "auto", noKvm);
  expect(reason).toBe("QEMU, emulating the CPU, because /dev/kvm is missing");
});

test("a driver that was asked for is taken, or refused with the reason", () => {
  expect(chooseDriver([firecracker, qemu], "qemu", kvm).driver.name).toBe("qemu");
  expect(chooseDriver([firecracker], "firecracker", kvm).driver.name).toBe("firecracker");
  expect(codeOf(() => chooseDriver([firecracker], "firecracker", noKvm))).toBe("unsupported");
  expect(codeOf(() => chooseDriver([qemu], "firecracker", kvm))).toBe("unsupported");
  expect(codeOf(() => chooseDriver([], "auto", kvm))).toBe("unsupported");
});
