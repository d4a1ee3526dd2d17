/** Machines with container engines: Debian with podman, Docker and what is tried in them, on one network. */
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Vm } from "#api/vm.ts";
import { busyboxLayout } from "./busybox.ts";
import { debianLayout } from "./debian.ts";
import type { Installation } from "./installation.ts";
import { kernelCache } from "./kernel-builds.ts";
import { giveKernel, KERNEL } from "./pulled-kernel.ts";

const PACKAGES = [
  // Docker recommends apparmor, and needs it where the kernel has AppArmor and systemd has mounted securityfs.
  "apparmor",
  ...["podman", "buildah", "crun", "aardvark-dns", "netavark", "uidmap"],
  ...["docker.io", "docker-compose", "containernetworking-plugins"],
  ...["iproute2", "iptables", "nftables", "conntrack", "wireguard-tools", "iputils-ping"],
  ...["btrfs-progs", "xfsprogs", "fuse3", "squashfuse", "squashfs-tools"],
  ...["ca-certificates", "curl", "dbus", "kmod", "procps", "systemd", "systemd-sysv"],
];
const GENERIC = "generic-6.12";
/** Emulated on a busy host, an engine needs minutes for its start. */
const CALL_MAX_MS = 40 * 60_000;

export interface ContainersHost {
  readonly name: string;
  /** Runs a shell script as root in it, which must succeed, and gives its output. */
  ok(script: string): Promise<string>;
  vm(): Promise<Vm>;
}

/** An installation with Debian's kernel, the compiled generic one if there is one, and the image "engines". */
export async function giveEngines(banger: Installation): Promise<void> {
  await giveKernel(banger);
  const generic = builtGeneric();
  if (generic) await banger.ok("kernel", "import", GENERIC, "--from", generic);
  const layout = await debianLayout({ with: { name: "engines", packages: PACKAGES } });
  await banger.ok("image", "pull", `oci:${layout}`, "--name", "engines", "--kernel-ref", KERNEL);
  await banger.ok("network", "create", "lab");
  await busyboxLayout(join(banger.home, "busybox"));
  await banger.ok("image", "pull", `oci:${join(banger.home, "busybox")}`, "--name", "bb");
  await banger.ok("image", "save", "bb", "--docker", join(banger.home, "bb.tar"));
}

/** The kernels to try. Those that no run of the kernels' tests has compiled are left out. */
export function kernelsToTry(): string[] {
  return [KERNEL, ...(builtGeneric() ? [GENERIC] : [])];
}

/** A machine of the image "engines", with the archive of busybox as /srv/bb.tar. */
export async function startContainersHost(
  banger: Installation,
  { name, kernel, options = [] }: { name: string; kernel: string; options?: string[] },
): Promise<ContainersHost> {
  const kind = ["--image", "engines", "--kernel-ref", kernel, "--nat", "--network", "lab"];
  await banger.ok("vm", "create", "--name", name, ...kind, ...options);
  await banger.ok("vm", "cp", join(banger.home, "bb.tar"), `${name}:/srv/bb.tar`);
  return {
    name,
    vm: () => banger.json<Vm>("vm", "show", name),
    ok: async (script) => {
      const command = ["vm", "exec", name, "--", "sh", "-ec", script];
      const options = { timeout_ms: CALL_MAX_MS };
      const { status, stdout, stderr } = await banger.call(command, options);
      if (status === 0) return stdout;
      throw new Error(`${script}: status ${status}\n${stdout}${stderr}`);
    },
  };
}

/** Folder of the newest compiled one that has all of its recipe: with earlier ones, mount -o loop fails. */
function builtGeneric(): string | undefined {
  mkdirSync(kernelCache.builds, { recursive: true });
  return readdirSync(kernelCache.builds)
    .map((each) => join(kernelCache.builds, each))
    .find((path) => {
      const config = join(path, "config");
      if (!existsSync(join(path, "vmlinux")) || !existsSync(config)) return false;
      const text = readFileSync(config, "utf8");
      return text.includes(`="-generic"`) && text.includes("CONFIG_BLK_DEV_WRITE_MOUNTED=y");
    });
}
