/** What the machines stand on; composed once by the daemon. */
import type { Database } from "bun:sqlite";
import type { Config } from "#config/resolve.ts";
import type { SshKey } from "#config/ssh-key.ts";
import type { ImageService } from "#images/service.ts";
import type { KernelService } from "#kernels/service.ts";
import type { Network } from "#net/network.ts";
import type { Driver } from "#vmm/driver.ts";

export interface VmDeps {
  db: Database;
  config: Config;
  images: ImageService;
  kernels: KernelService;
  network: Network;
  drivers: readonly Driver[];
  /** The managed key that may log in to every machine. */
  sshKey: SshKey;
}
