/** Chooses a machine's driver, by its spec, the configuration and the host. */
import type { NetworkMode, VmmChoice } from "#api/vm.ts";
import type { VmDeps } from "#vm/deps.ts";
import { chooseDriver, type DriverChoice } from "#vmm/choose.ts";

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
