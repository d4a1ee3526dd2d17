/** Debian's cloud kernel and the few modules that a guest needs to boot, without a daemon. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { InitrdModule } from "#guest/initrd.ts";
import { pulledKernel } from "./pulled-kernel.ts";

/** In the order of loading; each comes after what it depends on. */
const MODULES = ["virtio_mmio", "virtio_blk", "failover", "net_failover", "virtio_net", "overlay"];

export interface GuestKernel {
  path: string;
  modules: InitrdModule[];
}

export async function guestKernel(): Promise<GuestKernel> {
  const folder = await pulledKernel();
  const modules = MODULES.map((name) => ({
    name: `${name}.ko`,
    data: readFileSync(join(folder, "boot", `${name}.ko`)),
  }));
  return { path: join(folder, "vmlinux"), modules };
}
