import { expect, test } from "bun:test";
import { choiceForMemory, chooseDriver, type Needs } from "./choose.ts";
import type { Driver } from "./driver.ts";
import { createFirecrackerDriver } from "./firecracker/driver.ts";
import { createQemuDriver } from "./qemu/driver.ts";

const qemu = createQemuDriver();
const missing = createFirecrackerDriver({ program: "/nonexistent/firecracker" });
const firecracker: Driver = { ...missing, isInstalled: () => true };
const kvm = { usable: true, reason: "KVM is usable" };
const noKvm = { usable: false, reason: "/dev/kvm is missing", fix: "sudo modprobe kvm" };
const auto: Needs = { preference: "auto", userNetwork: false };

test("auto takes Firecracker with KVM, and QEMU elsewhere", () => {
  const both = [qemu, firecracker];
  expect(chooseDriver(both, auto, kvm).driver.name).toBe("firecracker");
  expect(chooseDriver(both, auto, noKvm).driver.name).toBe("qemu");
  expect(chooseDriver([qemu], auto, kvm).reason).toBe("QEMU, with KVM");
  expect(chooseDriver(both, auto, noKvm).reason).toBe("QEMU, emulated: no usable KVM");
  expect(chooseDriver(both, { ...auto, cpus: 4 }, noKvm).reason).toBe(
    "QEMU, emulated: no usable KVM, so its 4 CPUs share one host CPU",
  );
  expect(chooseDriver([qemu], { ...auto, cpus: 4 }, kvm).reason).toBe("QEMU, with KVM");
});

test("auto passes Firecracker where it is not installed or lacks what the machine needs", () => {
  expect(chooseDriver([qemu, missing], auto, kvm)).toEqual({
    driver: qemu,
    reason: "QEMU, with KVM: Firecracker is not installed",
  });
  const user = { ...auto, userNetwork: true };
  expect(chooseDriver([qemu, firecracker], user, kvm)).toEqual({
    driver: qemu,
    reason: "QEMU, with KVM: Firecracker does not support user-mode networking",
  });
  expect(chooseDriver([qemu, firecracker], { ...auto, cpus: 32 }, kvm).driver).toBe(firecracker);
  expect(chooseDriver([qemu, firecracker], { ...auto, cpus: 33 }, kvm)).toEqual({
    driver: qemu,
    reason: "QEMU, with KVM: Firecracker supports at most 32 CPUs",
  });
});

test("a Firecracker that its jailer cannot run is passed by, and refused with what mends it", () => {
  const obstacle = { why: '"/usr/bin/firecracker" is dynamically linked', hint: "a static one" };
  const dynamic: Driver = { ...firecracker, obstacle: () => obstacle };
  expect(chooseDriver([qemu, dynamic], auto, kvm)).toEqual({
    driver: qemu,
    reason: 'QEMU, with KVM: Firecracker "/usr/bin/firecracker" is dynamically linked',
  });
  const asked: Needs = { ...auto, preference: "firecracker" };
  const refused = expect(() => chooseDriver([qemu, dynamic], asked, kvm));
  refused.toThrow('Cannot use Firecracker: "/usr/bin/firecracker" is dynamically linked');
});

test("a driver that was asked for is taken, or refused with the reason", () => {
  const asked: Needs = { ...auto, preference: "firecracker" };
  const asQemu: Needs = { ...auto, preference: "qemu" };
  expect(chooseDriver([firecracker, qemu], asQemu, kvm).driver.name).toBe("qemu");
  expect(chooseDriver([firecracker], asked, kvm).driver.name).toBe("firecracker");
  expect(() => chooseDriver([firecracker], asked, noKvm)).toThrow("/dev/kvm is missing");
  expect(() => chooseDriver([missing], asked, kvm)).toThrow("not installed");
  expect(() => chooseDriver([firecracker], { ...asked, userNetwork: true }, kvm)).toThrow(
    "does not support user-mode networking",
  );
  expect(() => chooseDriver([qemu], asked, kvm)).toThrow("no driver for it");
  expect(() => chooseDriver([], auto, kvm)).toThrow("no usable VMM");
});

test("memory is restored by the VMM that wrote it, where that can run the machine", () => {
  const both = [qemu, firecracker];
  const saved = (name: "qemu" | "firecracker") => ({ ...auto, saved: name });
  expect(choiceForMemory(both, saved("qemu"), kvm)).toBe("qemu");
  expect(choiceForMemory(both, saved("firecracker"), kvm)).toBeUndefined();
  expect(choiceForMemory(both, saved("qemu"), noKvm)).toBeUndefined();
  expect(choiceForMemory(both, saved("firecracker"), noKvm)).toBeUndefined();
  expect(choiceForMemory([qemu, missing], saved("firecracker"), kvm)).toBeUndefined();
});
