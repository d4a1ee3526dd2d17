/** Processes, ports and statistics inside machines, and their cost on the host. */
import { readFileSync, statSync } from "node:fs";
import type { ListeningSocket, VmProcess, VmStats } from "#api/inside.ts";
import type { Networks } from "#net/networks.ts";
import type { VmService } from "./service.ts";

/** USER_HZ, the unit of /proc/PID/stat, is the same on every machine. */
const MS_PER_TICK = 10;
const BLOCK_BYTES = 512;
const KIB = 1024;

interface InsideOptions {
  diskOf: (vmId: string) => string;
  network: Pick<Networks, "bandwidthCounters">;
}

export class Inside {
  readonly #vms: Pick<VmService, "guests" | "show">;
  readonly #diskOf: (vmId: string) => string;
  readonly #network: Pick<Networks, "bandwidthCounters">;

  /** `diskOf`: the path of a machine's writable layer. */
  constructor(vms: Pick<VmService, "guests" | "show">, { diskOf, network }: InsideOptions) {
    this.#vms = vms;
    this.#diskOf = diskOf;
    this.#network = network;
  }

  /** By port. */
  async ports(name: string, signal?: AbortSignal): Promise<ListeningSocket[]> {
    const agent = await this.#vms.guests.agent(name, "look into", signal);
    const sockets = await agent.ports({ signal });
    return sockets.sort((a, b) => a.port - b.port || (a.address < b.address ? -1 : 1));
  }

  async stats(name: string, signal?: AbortSignal): Promise<VmStats> {
    const agent = await this.#vms.guests.agent(name, "look into", signal);
    const stats = await agent.stats({ signal });
    const { id, vmm, limits, ...vm } = this.#vms.show(name);
    const isLimited = limits?.net_in_bytes_per_s || limits?.net_out_bytes_per_s;
    const bandwidth = isLimited ? await this.#network.bandwidthCounters(id) : undefined;
    const host = { ...hostCost(vmm?.pid, this.#diskOf(id)), bandwidth };
    return { name: vm.name, ...stats, host };
  }

  async processes(name: string, signal?: AbortSignal): Promise<VmProcess[]> {
    const agent = await this.#vms.guests.agent(name, "look into", signal);
    return await agent.processes({ signal });
  }
}

/** Zeros for a VMM that has just ended. */
function hostCost(pid: number | undefined, disk: string): VmStats["host"] {
  const disk_bytes = statSync(disk, { throwIfNoEntry: false })?.blocks ?? 0;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name before it may hold anything.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return {
      cpu_ms: (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK,
      resident_bytes: Number(/^VmRSS:\s*(\d+)/m.exec(status)?.[1] ?? 0) * KIB,
      disk_bytes: disk_bytes * BLOCK_BYTES,
    };
  } catch {
    return { cpu_ms: 0, resident_bytes: 0, disk_bytes: disk_bytes * BLOCK_BYTES };
  }
}
