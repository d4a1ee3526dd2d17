/** What the machine flags say, as the API takes it. */
import type { VmCreate } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import type { Input } from "#cli/spec/types.ts";
import type { vmCommands } from "#cli/spec/vm.ts";
import { readEnvironment } from "./env.ts";
import { labelsOf } from "./labels.ts";
import { parsePort } from "./ports.ts";
import { absoluteReference } from "./reference.ts";

type CreateFlags = Input<typeof vmCommands.commands.create>["flags"];
type MachineFlags = Omit<CreateFlags, "image" | "noStart" | "noCommand" | "entrypoint">;

export function createRequest(
  image: string | undefined,
  flags: Omit<MachineFlags, "env" | "envFile">,
  environment: Pick<MachineFlags, "env" | "envFile">,
): VmCreate {
  const { name, needs, mode, cpus, memory, disk, restart, ttl, idleStop, hostname } = flags;
  const kernel = kernelOf(flags);
  const network = networkOf(flags);
  const env = readEnvironment(environment);
  const ports = flags.publish.map(parsePort);
  return {
    ...(image === undefined ? {} : { image: absoluteReference(image) }),
    ...(name === undefined ? {} : { name }),
    ...(kernel === undefined ? {} : { kernel }),
    ...(needs === undefined ? {} : { needs }),
    ...(mode === undefined ? {} : { mode }),
    ...(cpus === undefined ? {} : { cpus }),
    ...(memory === undefined ? {} : { memory_mib: memory }),
    ...(disk === undefined ? {} : { disk_bytes: disk }),
    ...(network === undefined ? {} : { network }),
    ...(ports.length === 0 ? {} : { ports }),
    ...(flags.vmm === undefined ? {} : { monitor: flags.vmm }),
    ...(flags.network.length === 0 ? {} : { networks: flags.network }),
    ...(flags.allow.length > 0 || flags.denyAll ? { policy: { allow: flags.allow } } : {}),
    ...(hostname === undefined ? {} : { hostname }),
    ...(flags.label.length === 0 ? {} : { labels: labelsOf(flags.label) }),
    ...(restart === undefined ? {} : { restart }),
    ...(ttl === undefined ? {} : { ttl_ms: ttl }),
    ...(idleStop === undefined ? {} : { idleStop_ms: idleStop }),
    ...(env === undefined ? {} : { env }),
  };
}

/** `--kernel` and `--kernel-ref` are two names of one flag. */
export function kernelOf(flags: {
  kernel: string | undefined;
  kernelRef: string | undefined;
}): string | undefined {
  return flags.kernelRef ?? flags.kernel;
}

export function networkOf({ net, nat }: Pick<MachineFlags, "net" | "nat">) {
  if (nat && net !== undefined && net !== "nat") {
    throw new BangerError("invalid_argument", `conflicting options: --nat and --net ${net}`);
  }
  return nat ? "nat" : net;
}
