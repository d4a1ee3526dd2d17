/**
 * A machine that runs machines: Debian with QEMU in a machine with nested virtualization. Where the host has no KVM,
 * QEMU emulates AMD's, so that KVM can be tested on every computer.
 */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { which } from "#base/run.ts";
import { busyboxLayout } from "./busybox.ts";
import { debianLayout } from "./debian.ts";
import { BUILT, type Installation, type Result } from "./installation.ts";
import { giveKernel, KERNEL } from "./pulled-kernel.ts";
import { smallKernel } from "./small-kernel.ts";

/** What banger needs on a host, and what is tried inside. */
const PACKAGES = [
  "ca-certificates",
  "iproute2",
  "kmod",
  "nftables",
  "openssh-client",
  "passt",
  "procps",
  "qemu-system-x86",
  "sudo",
  "xz-utils",
];
const NAME = "outer";
/** Doubly emulated on a busy host, a boot takes ten minutes. */
const CALL_MAX_MS = 40 * 60_000;

export interface VirtualizationHost {
  /** Runs a shell command as root in it. */
  shell(script: string): Promise<Result>;
  /** As `shell`, which must succeed. Gives its output. */
  ok(script: string): Promise<string>;
  /** Copies a file or a directory into it. */
  copy(from: string, to: string): Promise<void>;
  /** Boots it again, on a processor without a feature if one is named. */
  reboot(without?: string): Promise<void>;
}

/**
 * Starts it in `banger`, with the program under test, the users ann and bob, of whom ann is in group kvm, a kernel at
 * /srv/kernel and a layout of busybox at /srv/busybox. `programs`: more files for /usr/local/bin, by name.
 */
export async function startVirtualizationHost(
  banger: Installation,
  programs: Record<string, string> = {},
): Promise<VirtualizationHost> {
  // Before there is a daemon, which reads its configuration once.
  const chooseProcessor = choiceOfProcessor(banger);
  await giveKernel(banger);
  const layout = await debianLayout({ with: { name: "virtualization-host", packages: PACKAGES } });
  await banger.ok("image", "pull", `oci:${layout}`, "--name", "host", "--kernel-ref", KERNEL);
  // More than one emulated processor crashes kernels that patch themselves.
  const size = ["--cpus", "1", "--memory", "3G", "--disk", "8G"];
  const kind = ["--nested", "--mode", "direct", "--net", "none", ...size];
  await banger.ok("vm", "create", "--name", NAME, "--image", "host", ...kind);
  const call = (script: string): Promise<Result> =>
    banger.call(["vm", "exec", NAME, "--", "sh", "-c", script], { timeout_ms: CALL_MAX_MS });
  const ok = async (script: string): Promise<string> => {
    const { status, stdout, stderr } = await call(script);
    if (status !== 0) throw new Error(`${script}: status ${status}\n${stdout}${stderr}`);
    return stdout;
  };
  const copy = async (from: string, to: string) => {
    await banger.ok("vm", "cp", from, `${NAME}:${to}`);
  };
  await ok("mkdir -p /srv/kernel");
  await busyboxLayout(join(banger.home, "inner"));
  await copy(join(banger.home, "inner"), "/srv/busybox");
  for (const path of (await smallKernel()).files) await copy(path, `/srv/kernel/${basename(path)}`);
  for (const [name, path] of Object.entries({ banger: BUILT, ...programs })) {
    await copy(path, `/usr/local/bin/${name}`);
    await ok(`chmod 755 /usr/local/bin/${name}`);
  }
  await ok("groupadd -r kvm; useradd -m -G kvm ann; useradd -m bob; chmod -R a+rX /srv");
  await ok(GIVE_KVM);
  const reboot = async (without?: string) => {
    await ok("banger daemon stop");
    await banger.ok("vm", "stop", NAME);
    chooseProcessor(without);
    await banger.ok("vm", "start", NAME);
    await ok(GIVE_KVM);
  };
  return { shell: call, ok, copy, reboot };
}

/** As udev does. Opening the device loads the module. */
const GIVE_KVM = "chgrp kvm /dev/kvm && chmod 660 /dev/kvm && : </dev/kvm";

/** Puts a script before QEMU, which changes the processor of machines that start later. */
function choiceOfProcessor({ home }: Installation): (without?: string) => void {
  const qemu = which("qemu-system-x86_64");
  const folder = join(home, "qemu");
  const script = join(folder, "qemu");
  const config = join(home, "config/banger/config.toml");
  const choose = (without?: string) => {
    const change =
      without === undefined ? "" : `case $arg in max,*|host) arg=$arg,-${without};; esac; `;
    writeFileSync(
      script,
      `#!/bin/sh\nfor arg; do shift; ${change}set -- "$@" "$arg"; done\nexec ${qemu} "$@"\n`,
    );
    chmodSync(script, 0o755);
  };
  mkdirSync(folder, { mode: 0o755 });
  choose();
  writeFileSync(config, `qemu_bin = "${script}"\n${readFileSync(config, "utf8")}`);
  return choose;
}
