/** An installation of an ordinary user, with a kernel and the image "busybox", and a resolver of the test's own. */
import { chmodSync, copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runOk } from "#base/run.ts";
import { endNamespace, findNamespace } from "#net/rootless/namespace.ts";
import { busyboxLayout } from "./busybox.ts";
import { type Installation, install } from "./installation.ts";
import { asUser, USER_UID } from "./net-lab.ts";
import type { Outside } from "./outside.ts";
import { KERNEL, pulledKernel } from "./pulled-kernel.ts";

/** Takes root, to become another user. */
export async function installForUser(outside: Outside): Promise<Installation> {
  const folder = mkdtempSync("/tmp/bgr-user-");
  chmodSync(folder, 0o755);
  const banger = install({ before: asOrdinaryUser(folder, outside) });
  const dispose = async () => {
    const record = join(banger.home, "state/banger/network-namespace.json");
    const copy = join(folder, "namespace.json");
    if (existsSync(record)) copyFileSync(record, copy);
    try {
      await banger[Symbol.asyncDispose]();
      // It has no file of the installation open, by which it would be found.
      if (findNamespace(copy)) throw new Error("left behind: network namespace");
    } finally {
      await endNamespace(copy);
      rmSync(folder, { recursive: true, force: true });
    }
  };
  try {
    const kernels = join(banger.home, "state/banger/kernels");
    // Copies: a hard link's owner is that of all of them.
    await runOk(["mkdir", "-p", kernels]);
    await runOk(["cp", "-r", await pulledKernel(), kernels]);
    await busyboxLayout(join(banger.home, "busybox"));
    await runOk(["chown", "-R", `${USER_UID}:${USER_UID}`, banger.home]);
    // The program is the build's own, which stays root's.
    await runOk(["chown", "0:0", join(banger.home, "bin/banger")]);
    const layout = `oci:${banger.home}/busybox`;
    await banger.ok("image", "pull", layout, "--name", "busybox", "--kernel-ref", KERNEL);
    return { ...banger, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** With a tun device that everybody may open, as udev has it. */
function asOrdinaryUser(folder: string, { resolvConf }: Outside): string[] {
  const [conf, tun] = [join(folder, "resolv.conf"), join(folder, "tun")];
  writeFileSync(conf, resolvConf);
  const steps = [
    `[ -e ${tun} ] || mknod -m 666 ${tun} c 10 200`,
    `mount --bind ${tun} /dev/net/tun`,
    `mount --bind ${conf} "$(readlink -f /etc/resolv.conf)"`,
    'exec "$@"',
  ];
  return ["unshare", "--mount", "sh", "-c", steps.join(" && "), "sh", ...asUser(USER_UID)];
}
