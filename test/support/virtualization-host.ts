/**
 * A machine that runs machines: Debian with QEMU in a machine with nested virtualization. Where the host has no KVM,
 * QEMU emulates AMD's, so that KVM can be tested on every computer.
 */
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { busyboxLayout } from "./busybox.ts";
import { debianLayout } from "./debian.ts";
import { BUILT, type Installation, type Result } from "./installation.ts";
import { kernelCache } from "./kernel-builds.ts";
import { giveKernel, KERNEL, pulledKernel } from "./pulled-kernel.ts";

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
}

/**
 * Starts it in `banger`, with the program under test, the users ann and bob, of whom ann is in group kvm, a kernel at
 * /srv/kernel and a layout of busybox at /srv/busybox. `programs`: more files for /usr/local/bin, by name.
 */
export async function startVirtualizationHost(
  banger: Installation,
  programs: Record<string, string> = {},
): Promise<VirtualizationHost> {
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
  await ok("mkdir -p /srv/kernel");
  await busyboxLayout(join(banger.home, "inner"));
  await banger.ok("vm", "cp", join(banger.home, "inner"), `${NAME}:/srv/busybox`);
  const kernel = await smallKernel();
  for (const file of ["vmlinux", "config", "modules"]) {
    const from = join(kernel, file);
    if (existsSync(from)) await banger.ok("vm", "cp", from, `${NAME}:/srv/kernel/${file}`);
  }
  for (const [name, path] of Object.entries({ banger: BUILT, ...programs })) {
    await banger.ok("vm", "cp", path, `${NAME}:/usr/local/bin/${name}`);
    await ok(`chmod 755 /usr/local/bin/${name}`);
  }
  await ok("groupadd -r kvm; useradd -m -G kvm ann; useradd -m bob; chmod -R a+rX /srv");
  // As udev does. Opening the device loads the module.
  await ok("chgrp kvm /dev/kvm && chmod 660 /dev/kvm && : </dev/kvm");
  return { shell: call, ok };
}

/** The one that boots fastest, if it was compiled: see kernel-builds.ts. */
async function smallKernel(): Promise<string> {
  mkdirSync(kernelCache.builds, { recursive: true });
  const built = readdirSync(kernelCache.builds)
    .map((name) => join(kernelCache.builds, name))
    .find((path) => existsSync(join(path, "vmlinux")));
  return built ?? (await pulledKernel());
}
