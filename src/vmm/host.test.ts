import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type HostFiles, hostTsc_khz, kvmState, nestedProblem } from "./host.ts";

const NOBODY = 65534;

let folder: string;
let host: HostFiles;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-host-"));
  const at = (name: string): string => join(folder, name);
  host = {
    kvm: at("kvm"),
    cpuinfo: at("cpuinfo"),
    group: at("group"),
    cpu0: at("cpu0"),
    modules: at("modules"),
  };
  mkdirSync(host.cpu0);
  writeFileSync(host.cpuinfo, "flags\t\t: fpu svm sse\ncpu MHz\t\t: 2596.144\n");
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** As a user whom every file's mode counts for; root steps down for that long. */
function withoutRights<T>(act: () => T): T {
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(NOBODY);
  try {
    return act();
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}

describe.if(process.arch === "x64")("nestedProblem", () => {
  function loadModule(nested: string): void {
    mkdirSync(join(host.modules, "kvm_amd/parameters"), { recursive: true });
    writeFileSync(join(host.modules, "kvm_amd/parameters/nested"), `${nested}\n`);
  }

  test("is the parameter of KVM's module", () => {
    writeFileSync(host.kvm, "");
    for (const value of ["1", "Y"]) {
      loadModule(value);
      expect(nestedProblem(host)).toBeUndefined();
    }
    for (const value of ["0", "N"]) {
      loadModule(value);
      expect(nestedProblem(host)).toEqual({
        reason: "it is disabled in kvm_amd on this host",
        fix: expect.stringContaining("modprobe kvm_amd nested=1"),
      });
    }
  });

  test("is none where machines are emulated", () => {
    loadModule("0");
    expect(nestedProblem(host)).toBeUndefined();
  });
});

describe.if(process.arch === "x64")("kvmState", () => {
  test("a device that opens on a CPU that virtualizes is usable", () => {
    writeFileSync(host.kvm, "");
    for (const flag of ["svm", "vmx"]) {
      writeFileSync(host.cpuinfo, `flags : fpu ${flag} sse\n`);
      expect(kvmState(host)).toEqual({ usable: true, reason: "KVM is usable" });
    }
  });

  test("a device without the CPU's flags is a para-virtual one", () => {
    writeFileSync(host.kvm, "");
    // "svm_lock" and a flag elsewhere are not the flag.
    writeFileSync(host.cpuinfo, "flags : fpu svm_lock sse\nbugs : vmx\n");
    const { usable, reason } = kvmState(host);
    expect(usable).toBe(false);
    expect(reason).toContain("paravirtual");
  });

  test("a missing device is told from a missing module", () => {
    expect(kvmState(host).fix).toContain("modprobe");
    writeFileSync(host.cpuinfo, "flags : fpu sse\n");
    expect(kvmState(host).fix).toContain("firmware");
  });

  test("a forbidden device names its group", () => {
    chmodSync(folder, 0o755);
    writeFileSync(host.kvm, "", { mode: 0o000 });
    writeFileSync(host.group, `other:x:99999:\nvirt:x:${statSync(host.kvm).gid}:\n`);
    const { usable, reason, fix } = withoutRights(() => kvmState(host));
    expect([usable, reason]).toEqual([false, expect.stringContaining('group "virt"')]);
    expect(fix).toContain("usermod -aG virt");
  });
});

describe("hostTsc_khz", () => {
  test("takes the CPU's rate where no scaling is at work", () => {
    expect(hostTsc_khz(host)).toBe(2_596_144);
  });

  test("prefers the base frequency, then the nominal one, where scaling is at work", () => {
    mkdirSync(join(host.cpu0, "cpufreq"));
    writeFileSync(
      host.cpuinfo,
      "model name : Some CPU E5-2680 v4 @ 2.40GHz\ncpu MHz : 1200.000\nflags : fpu\n",
    );
    expect(hostTsc_khz(host)).toBe(2_400_000);
    writeFileSync(join(host.cpu0, "cpufreq", "base_frequency"), "2300000\n");
    expect(hostTsc_khz(host)).toBe(2_300_000);
    writeFileSync(join(host.cpu0, "tsc_freq_khz"), "2399998\n");
    expect(hostTsc_khz(host)).toBe(2_399_998);
  });

  test("is undefined where nothing tells", () => {
    writeFileSync(host.cpuinfo, "");
    expect(hostTsc_khz(host)).toBeUndefined();
    mkdirSync(join(host.cpu0, "cpufreq"));
    writeFileSync(host.cpuinfo, "model name : Some CPU 7950X\ncpu MHz : 1200.000\n");
    expect(hostTsc_khz(host)).toBeUndefined();
  });
});
