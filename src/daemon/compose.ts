/** The composition root: builds every part once and hands it what it stands on. */
import { mkdirSync } from "node:fs";
import { type Config, dockerConfigPath } from "#config/resolve.ts";
import { ensureSshKey } from "#config/ssh-key.ts";
import { ImageService } from "#images/service.ts";
import { KernelService } from "#kernels/service.ts";
import { Network } from "#net/network.ts";
import { openStore } from "#store/db.ts";
import { VmService } from "#vm/service.ts";
import { createFirecrackerDriver } from "#vmm/firecracker/driver.ts";
import { createQemuDriver } from "#vmm/qemu/driver.ts";

export interface Services {
  config: Config;
  kernels: KernelService;
  images: ImageService;
  vms: VmService;
  startedAt: string;
  /** Ends the daemon; machines go on. */
  shutdown: () => void;
}

export function compose(config: Config, shutdown: () => void): Services {
  const { paths, values } = config;
  for (const folder of [
    paths.roots.state,
    paths.roots.cache,
    paths.roots.runtime,
    paths.roots.config,
  ]) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }
  const db = openStore(paths.database);
  const kernels = new KernelService({ dir: paths.kernels, downloads: paths.downloads });
  const images = new ImageService(db, paths, {
    insecureRegistries: values["registry.insecure"],
    mirrors: { "docker.io": values["registry.mirrors"] },
    dockerConfigPath: dockerConfigPath(),
  });
  const vms = new VmService({
    db,
    config,
    images,
    kernels,
    network: new Network({ bridge: values["network.bridge"], subnet: values["network.subnet"] }),
    drivers: [
      createQemuDriver({ program: values.qemu_bin }),
      // The console is the only voice of a guest that dies before its agent speaks.
      createFirecrackerDriver({ program: values.firecracker_bin, serial: true }),
    ],
    sshKey: ensureSshKey(paths.sshKey),
  });
  return { config, kernels, images, vms, startedAt: new Date().toISOString(), shutdown };
}
