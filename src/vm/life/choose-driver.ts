/** Chooses a machine's driver, by its spec, the configuration and the host. */
import type { NetworkMode, VmmChoice } from "#api/vm.ts";
import type { VmDeps } from "#vm/deps.ts";
import { choiceForMemory, chooseDriver, type DriverChoice } from "#vmm/choose.ts";
import type { DriverName } from "#vmm/driver.ts";

/** `unsupported`, with the reason, for one that was asked for and cannot run it. */
export function driverFor(
  { drivers, config }: Pick<VmDeps, "drivers" | "config">,
  {
    monitor,
    network,
    cpus,
  }: { monitor?: VmmChoice | undefined; network: NetworkMode; cpus?: number | undefined },
): DriverChoice {
  return chooseDriver(drivers, {
    preference: monitor ?? config.values.vmm,
    userNetwork: network === "user",
    cpus,
  });
}

/** The VMM that a copy of a machine names: none, unless another one than that of its memory would be chosen. */
export function monitorOfCopy(
  { drivers, config }: Pick<VmDeps, "drivers" | "config">,
  { saved, network, cpus }: { saved: DriverName | undefined; network: NetworkMode; cpus: number },
): { monitor?: VmmChoice } {
  if (saved === undefined) return {};
  const preference = config.values.vmm;
  const monitor = choiceForMemory(drivers, {
    saved,
    preference,
    userNetwork: network === "user",
    cpus,
  });
  return monitor ? { monitor } : {};
}
