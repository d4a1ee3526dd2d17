/** The API requests that configure Firecracker, in the order it requires: a pure function. */
import type { BootSpec, DiskLimits, Snapshot } from "#vmm/driver.ts";
import type { ApiRequest } from "./api.ts";
import { bootArgs } from "./boot-args.ts";
import { driveName, type VmmPaths } from "./layout.ts";
import { isAtLeast } from "./program.ts";

/** The host side never sees this number, so all machines have the same. */
const GUEST_CID = 3;
const INTERFACE = "eth0";
/**
 * Since this version a guest can be kept from filling the disk through its serial port, which is
 * there, and writes to Firecracker's output, also when no kernel parameter names it.
 */
const SERIAL_LIMIT_SINCE = "1.16";
const SERIAL_BYTES_PER_SECOND = 1024 * 1024;
const LOGGER = put("/logger", { level: "Info", show_level: true });

export interface MachineOptions {
  /** A serial console; default true. It costs a quiet guest nothing that could be measured, and tells a panic. */
  serial?: boolean;
}

export interface ConfigurationContext {
  /** Of Firecracker. */
  version: string;
  paths: VmmPaths;
  options: MachineOptions;
}

/** Everything before InstanceStart. MMDS is off unless it is configured, and it never is. */
export function configuration(spec: BootSpec, context: ConfigurationContext): ApiRequest[] {
  const { paths, options } = context;
  const { serial = true } = options;
  // vsock and entropy are always there.
  const devices = spec.drives.length + 2 + (spec.network ? 1 : 0);
  return [
    LOGGER,
    put("/machine-config", { vcpu_count: spec.cpus, mem_size_mib: spec.memory_mib, smt: false }),
    put("/boot-source", {
      kernel_image_path: paths.kernel,
      initrd_path: paths.initrd,
      boot_args: bootArgs(spec.kernelArgs, { serial, devices }),
    }),
    ...spec.drives.map((drive, index) =>
      put(`/drives/${driveName(index)}`, {
        drive_id: driveName(index),
        path_on_host: paths.drives[index],
        is_root_device: false,
        is_read_only: drive.readOnly,
        // A guest's flush must reach the disk; who cannot write has nothing to flush.
        cache_type: drive.readOnly ? "Unsafe" : "Writeback",
        io_engine: "Sync",
        ...(spec.diskLimits ? { rate_limiter: limiter(spec.diskLimits) } : {}),
      }),
    ),
    ...networkRequests(spec),
    put("/vsock", { guest_cid: GUEST_CID, uds_path: paths.vsock }),
    put("/entropy", {}),
    ...serialRequests(context),
  ];
}

/** The same for a machine from a snapshot. Limits of before are those of the snapshot. */
export function restoration(
  { network, drives, diskLimits }: BootSpec,
  { memoryPath, statePath }: Snapshot,
  context: ConfigurationContext,
): ApiRequest[] {
  const load = {
    snapshot_path: statePath,
    mem_backend: { backend_type: "File", backend_path: memoryPath },
    resume_vm: true,
    network_overrides:
      network?.kind === "tap" ? [{ iface_id: INTERFACE, host_dev_name: network.tap }] : undefined,
  };
  return [
    LOGGER,
    ...serialRequests(context),
    put("/snapshot/load", load),
    ...(diskLimits ? limitRequests(drives.length, diskLimits) : []),
  ];
}

function serialRequests({ version }: ConfigurationContext): ApiRequest[] {
  if (!isAtLeast(version, SERIAL_LIMIT_SINCE)) return [];
  return [put("/serial", { rate_limiter: bucket(SERIAL_BYTES_PER_SECOND) })];
}

function networkRequests({ network }: BootSpec): ApiRequest[] {
  if (network?.kind !== "tap") return [];
  const body = {
    iface_id: INTERFACE,
    host_dev_name: network.tap,
    guest_mac: network.mac,
  };
  return [put(`/network-interfaces/${INTERFACE}`, body)];
}

/** Puts the drives of a machine that runs under other limits, which a snapshot keeps as they are then. */
export function limitRequests(drives: number, limits: DiskLimits): ApiRequest[] {
  return Array.from({ length: drives }, (_, index) => {
    const drive_id = driveName(index);
    const body = { drive_id, rate_limiter: limiter(limits) };
    return { method: "PATCH", path: `/drives/${drive_id}`, body };
  });
}

/** A burst of one second's worth is let through. */
function limiter({ bytes_per_s = 0, operations_per_s = 0 }: DiskLimits) {
  return { bandwidth: bucket(bytes_per_s), ops: bucket(operations_per_s) };
}

/** A token bucket that fills once a second; one of size 0 is no limit. */
function bucket(size: number): { size: number; refill_time: number } {
  return { size, refill_time: size === 0 ? 0 : 1000 };
}

function put(path: string, body: Record<string, unknown>): ApiRequest {
  return { method: "PUT", path, body };
}
