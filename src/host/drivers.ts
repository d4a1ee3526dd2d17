/** Creates the VMM drivers from the configuration. */
import type { ConfigValues } from "#config/schema.ts";
import type { Driver } from "#vmm/driver.ts";
import { createFirecrackerDriver, type FirecrackerOptions } from "#vmm/firecracker/driver.ts";
import { createQemuDriver } from "#vmm/qemu/driver.ts";

export function createDrivers(values: ConfigValues): Driver[] {
  return [
    createQemuDriver({ program: values.qemu_bin, jail: values.qemu_jail === "on" }),
    createFirecrackerDriver(firecrackerOptions(values)),
  ];
}

export function firecrackerOptions(values: ConfigValues): FirecrackerOptions {
  const { firecracker_bin: program, firecracker_jailer: jailer } = values;
  return {
    program,
    ...(jailer === "off" ? { jailer: false } : { jailer }),
    serial: values.firecracker_console === "on",
  };
}
