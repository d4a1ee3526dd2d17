/** What the host offers to machines: hardware virtualization, and the rate of its clock. */
import { closeSync, existsSync, openSync, readFileSync, statSync } from "node:fs";
import { errnoOf } from "#base/error.ts";

export interface KvmState {
  usable: boolean;
  /** One line for people: what was found. */
  reason: string;
  /** The command or change that makes it usable, where there is one. */
  fix?: string;
}

/** Where the facts are read from; only tests give others. */
export interface HostFiles {
  kvm: string;
  cpuinfo: string;
  group: string;
  cpu0: string;
  /** Of loaded modules, with their parameters. */
  modules: string;
}

const files: HostFiles = {
  kvm: "/dev/kvm",
  cpuinfo: "/proc/cpuinfo",
  group: "/etc/group",
  cpu0: "/sys/devices/system/cpu/cpu0",
  modules: "/sys/module",
};

/**
 * KVM is usable when /dev/kvm opens read-write and, on x86, the CPU flags show vmx or svm.
 * The flags count because a para-virtual KVM opens and answers like a real one, and then
 * cannot run an ordinary guest.
 */
export function kvmState(host: HostFiles = files): KvmState {
  const opened = openKvm(host.kvm);
  const hasFlags = process.arch !== "x64" || hasVirtualizationFlags(readText(host.cpuinfo));
  const isMissing = opened === "ENOENT" || opened === "ENXIO" || opened === "ENODEV";
  // First, since more rights would not help.
  if (!hasFlags && !isMissing) {
    return {
      usable: false,
      reason: `${host.kvm} exists, but the CPU has neither vmx nor svm: a paravirtual KVM cannot run ordinary guests`,
      fix: "Use a host or cloud instance type with hardware or nested virtualization",
    };
  }
  if (opened === undefined) return { usable: true, reason: "KVM is usable" };
  if (opened === "EACCES" || opened === "EPERM") return kvmDenied(host);
  if (!isMissing) {
    return { usable: false, reason: `Cannot open ${host.kvm}: ${opened}` };
  }
  if (hasFlags) {
    return {
      usable: false,
      reason: `${host.kvm} is missing: the KVM module is not loaded`,
      fix: "sudo modprobe -a kvm_intel kvm_amd",
    };
  }
  return {
    usable: false,
    reason: `${host.kvm} is missing, and the CPU has neither vmx nor svm`,
    fix: "Enable virtualization in the firmware, or nested virtualization in the outer VM",
  };
}

/**
 * The reason why QEMU machines cannot have nested KVM, with its fix; undefined if they can. Emulated ones on x86 always
 * can.
 */
export function nestedProblem(
  host: HostFiles = files,
): { reason: string; fix?: string } | undefined {
  if (process.arch !== "x64") return { reason: "only x86 is supported" };
  if (!kvmState(host).usable) return undefined;
  const module = ["kvm_intel", "kvm_amd"].find((name) => existsSync(`${host.modules}/${name}`));
  if (!module) return undefined;
  const value = readText(`${host.modules}/${module}/parameters/nested`).trim();
  if (value === "Y" || value === "1") return undefined;
  return {
    reason: `it is disabled in ${module} on this host`,
    fix: `Stop all machines, then: sudo modprobe -r ${module} && sudo modprobe ${module} nested=1`,
  };
}

/**
 * The rate of this computer's time stamp counter in kHz, undefined if nothing tells.
 * The "cpu MHz" of /proc/cpuinfo is that rate only where no frequency scaling is at work.
 */
export function hostTsc_khz(host: HostFiles = files): number | undefined {
  const direct =
    readNumber(`${host.cpu0}/tsc_freq_khz`) ?? readNumber(`${host.cpu0}/cpufreq/base_frequency`);
  if (direct) return direct;
  const cpuinfo = readText(host.cpuinfo);
  const current_mhz = Number(/^cpu MHz\s*:\s*(\d+(?:\.\d+)?)/m.exec(cpuinfo)?.[1] ?? 0);
  if (current_mhz > 0 && !existsSync(`${host.cpu0}/cpufreq`)) return Math.round(current_mhz * 1000);
  const nominal_ghz = Number(/^model name.*@ (\d+(?:\.\d+)?)GHz/m.exec(cpuinfo)?.[1] ?? 0);
  return nominal_ghz > 0 ? Math.round(nominal_ghz * 1e6) : undefined;
}

/** Which processor this is, microcode and features included, as one line. */
export function hostProcessor(host: HostFiles = files): string {
  const wanted = /^(vendor_id|cpu family|model|model name|stepping|microcode|flags)\s*:.*$/gm;
  const first = readText(host.cpuinfo).split("\n\n")[0] ?? "";
  return (first.match(wanted) ?? []).join("; ");
}

function hasVirtualizationFlags(cpuinfo: string): boolean {
  return /^flags\s*:.*\b(vmx|svm)\b/m.test(cpuinfo);
}

function kvmDenied(host: HostFiles): KvmState {
  const group = groupOf(host);
  return {
    usable: false,
    reason: `permission denied: ${host.kvm}${group ? ` belongs to group "${group}"` : ""}`,
    fix:
      group && group !== "root"
        ? `sudo usermod -aG ${group} "$USER", then log in again`
        : `sudo chgrp kvm ${host.kvm} && sudo chmod 660 ${host.kvm}, and join group "kvm"`,
  };
}

/** The errno that opening failed with, undefined when it opened. */
function openKvm(path: string): string | undefined {
  try {
    closeSync(openSync(path, "r+"));
    return undefined;
  } catch (error) {
    return errnoOf(error) ?? "EIO";
  }
}

function groupOf(host: HostFiles): string | undefined {
  try {
    const gid = statSync(host.kvm).gid;
    const line = readText(host.group)
      .split("\n")
      .find((text) => text.split(":")[2] === String(gid));
    return line?.split(":")[0];
  } catch {
    return undefined;
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function readNumber(path: string): number | undefined {
  const number = Number(readText(path).trim());
  return Number.isSafeInteger(number) && number > 0 ? number : undefined;
}
