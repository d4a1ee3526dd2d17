/** The API requests that configure Firecracker, in the order it requires: a pure function. */
import type { BootSpec, Snapshot } from "#vmm/driver.ts";
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

/** At most so much on average; a burst of one second's worth is let through. */
export interface RateLimit {
  bytes_per_s?: number;
  operations_per_s?: number;
}

export interface MachineOptions {
  /** A serial console; default true. It costs a quiet guest nothing that could be measured, and tells a panic. */
  serial?: boolean;
  /** Default "Sync"; "Async" needs io_uring. */
  ioEngine?: "Sync" | "Async";
  /** For each drive. */
  driveLimit?: RateLimit;
  /** For each direction. */
  networkLimit?: RateLimit;
  /** A balloon that is empty at first; `deflateOnOom` gives memory back before the guest kills. */
  balloon?: { deflateOnOom: boolean; statistics_s?: number };
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
  const { serial = true, balloon } = options;
  // vsock and entropy are always there.
  const devices = spec.drives.length + 2 + (spec.network ? 1 : 0) + (balloon ? 1 : 0);
  return [
    ...logRequests(context),
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
        io_engine: options.ioEngine ?? "Sync",
        ...limiter("rate_limiter", options.driveLimit),
      }),
    ),
    ...networkRequests(spec, options),
    put("/vsock", { guest_cid: GUEST_CID, uds_path: paths.vsock }),
    put("/entropy", {}),
    ...(balloon ? [balloonRequest(balloon)] : []),
    ...serialRequests(context),
  ];
}

/** The same for a machine from a snapshot. The last request loads it, and lets it go on. */
export function restoration(
  { network }: BootSpec,
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
  return [...logRequests(context), ...serialRequests(context), put("/snapshot/load", load)];
}

function logRequests({ paths }: ConfigurationContext): ApiRequest[] {
  return [
    put("/logger", { level: "Info", show_level: true }),
    put("/metrics", { metrics_path: paths.metrics }),
  ];
}

function serialRequests({ version }: ConfigurationContext): ApiRequest[] {
  if (!isAtLeast(version, SERIAL_LIMIT_SINCE)) return [];
  return [put("/serial", { rate_limiter: bucket(SERIAL_BYTES_PER_SECOND) })];
}

function networkRequests({ network }: BootSpec, options: MachineOptions): ApiRequest[] {
  if (network?.kind !== "tap") return [];
  const body = {
    iface_id: INTERFACE,
    host_dev_name: network.tap,
    guest_mac: network.mac,
    ...limiter("rx_rate_limiter", options.networkLimit),
    ...limiter("tx_rate_limiter", options.networkLimit),
  };
  return [put(`/network-interfaces/${INTERFACE}`, body)];
}

function balloonRequest(balloon: NonNullable<MachineOptions["balloon"]>): ApiRequest {
  return put("/balloon", {
    amount_mib: 0,
    deflate_on_oom: balloon.deflateOnOom,
    stats_polling_interval_s: balloon.statistics_s ?? 0,
  });
}

function limiter(field: string, limit: RateLimit | undefined): Record<string, unknown> {
  const bandwidth = limit?.bytes_per_s;
  const ops = limit?.operations_per_s;
  if (!bandwidth && !ops) return {};
  return {
    [field]: {
      bandwidth: bandwidth ? bucket(bandwidth) : undefined,
      ops: ops ? bucket(ops) : undefined,
    },
  };
}

/** A token bucket that fills once a second. */
function bucket(size: number): { size: number; refill_time: number } {
  return { size: Math.max(1, Math.round(size)), refill_time: 1000 };
}

function put(path: string, body: Record<string, unknown>): ApiRequest {
  return { method: "PUT", path, body };
}
