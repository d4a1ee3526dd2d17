/** The dependencies of everything about machines; composed once by the daemon. */
import type { Database } from "bun:sqlite";
import type { Config } from "#config/resolve.ts";
import type { SshKey } from "#config/ssh-key.ts";
import type { ImageService } from "#images/service.ts";
import type { KernelService } from "#kernels/service.ts";
import type { Networks } from "#net/networks.ts";
import type { Snapshots } from "#snapshots/snapshots.ts";
import type { Templates } from "#snapshots/templates.ts";
import type { NextTemplates } from "#vm/boot/next-templates.ts";
import type { Owner } from "#vm/life/owner.ts";
import type { SecretValues } from "#vm/secrets/values.ts";
import type { SshAgents } from "#vm/ssh-agent/agents.ts";
import type { Volumes } from "#vm/volumes/volumes.ts";
import type { Driver } from "#vmm/driver.ts";

export interface VmDeps {
  db: Database;
  config: Config;
  images: ImageService;
  kernels: KernelService;
  network: Networks;
  drivers: readonly Driver[];
  /** What new machines are restored from; undefined: each boots. */
  templates: Templates | undefined;
  /** Undefined: templates are only made for machines that need one. */
  nextTemplates?: NextTemplates | undefined;
  snapshots: Snapshots;
  volumes: Volumes;
  /** Folder that machines' control groups are made in; undefined where this process may not. */
  cgroups: string | undefined;
  /** This process, when it runs its machines in the foreground: they end with it. Absent in the daemon. */
  owner?: Owner | undefined;
  /** Undefined where nothing puts them in: machines then have none. */
  secrets?: SecretValues | undefined;
  /** Undefined where machines cannot use the user's ssh agent. */
  sshAgents?: SshAgents | undefined;
  /** The managed key that may log in to every machine. */
  sshKey: SshKey;
}
