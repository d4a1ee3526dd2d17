/** The configuration with the defaults that apply on this host. */
import { describeConfig, resolveConfig } from "#config/resolve.ts";
import { defaultCpus } from "#vm/default-cpus.ts";

export async function describeEffective() {
  const config = await resolveConfig();
  const cpus = defaultCpus(config);
  return describeConfig(config).map((entry) =>
    entry.key !== "vm.cpus" || entry.value === cpus
      ? entry
      : { ...entry, value: cpus, shown: String(cpus), origin: "default, emulated" },
  );
}
