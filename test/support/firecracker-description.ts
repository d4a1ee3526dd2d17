/**
 * What Firecracker's published API description (version 1.17) says of requests, in short. A type is
 * "string", "integer" with an optional range, "boolean", "number", "any", "=A|B" for one of these
 * words, "@Name" for an object below, "[TYPE]" for a list, "{TYPE}" for a map; "!" marks a field that
 * must be there. A field that is not listed is refused, as Firecracker does.
 */
import { closeSync, openSync } from "node:fs";

export const objects: Record<string, Record<string, string>> = {
  Balloon: {
    amount_mib: "integer 0..!",
    deflate_on_oom: "boolean!",
    stats_polling_interval_s: "integer 0..",
    free_page_hinting: "boolean",
    free_page_reporting: "boolean",
  },
  BalloonUpdate: { amount_mib: "integer 0..!" },
  BalloonStatsUpdate: { stats_polling_interval_s: "integer 0..!" },
  BalloonStartCmd: { acknowledge_on_stop: "boolean" },
  BootSource: { kernel_image_path: "string!", initrd_path: "string", boot_args: "string" },
  CpuConfig: {
    kvm_capabilities: "[string]",
    cpuid_modifiers: "[any]",
    msr_modifiers: "[any]",
    reg_modifiers: "[any]",
    vcpu_features: "[any]",
  },
  Drive: {
    drive_id: "string!",
    is_root_device: "boolean!",
    partuuid: "string",
    cache_type: "=Unsafe|Writeback",
    is_read_only: "boolean",
    path_on_host: "string",
    rate_limiter: "@RateLimiter",
    io_engine: "=Sync|Async",
    socket: "string",
  },
  PartialDrive: { drive_id: "string!", path_on_host: "string", rate_limiter: "@RateLimiter" },
  Pmem: {
    id: "string!",
    path_on_host: "string!",
    root_device: "boolean",
    read_only: "boolean",
    rate_limiter: "@RateLimiter",
  },
  PartialPmem: { id: "string!", rate_limiter: "@RateLimiter" },
  Action: { action_type: "=FlushMetrics|InstanceStart|SendCtrlAltDel!" },
  Logger: {
    level: "=Error|Warning|Info|Debug|Trace|Off",
    log_path: "string",
    show_level: "boolean",
    show_log_origin: "boolean",
    module: "string",
  },
  MachineConfiguration: {
    cpu_template: "=C3|T2|T2S|T2CL|T2A|V1N1|None",
    smt: "boolean",
    mem_size_mib: "integer 1..!",
    track_dirty_pages: "boolean",
    vcpu_count: "integer 1..32!",
    huge_pages: "=None|Transparent|2M",
  },
  MachineUpdate: {
    cpu_template: "=C3|T2|T2S|T2CL|T2A|V1N1|None",
    smt: "boolean",
    mem_size_mib: "integer 1..",
    track_dirty_pages: "boolean",
    vcpu_count: "integer 1..32",
    huge_pages: "=None|Transparent|2M",
  },
  Metrics: { metrics_path: "string!", emit_id: "boolean", properties: "{string}" },
  MmdsConfig: {
    network_interfaces: "[string]!",
    version: "=V1|V2",
    ipv4_address: "string",
    imds_compat: "boolean",
  },
  NetworkInterface: {
    iface_id: "string!",
    host_dev_name: "string!",
    guest_mac: "string",
    mtu: "integer 68..65535",
    rx_rate_limiter: "@RateLimiter",
    tx_rate_limiter: "@RateLimiter",
  },
  PartialNetworkInterface: {
    iface_id: "string!",
    rx_rate_limiter: "@RateLimiter",
    tx_rate_limiter: "@RateLimiter",
  },
  RateLimiter: { bandwidth: "@TokenBucket", ops: "@TokenBucket" },
  TokenBucket: {
    size: "integer 0..!",
    refill_time: "integer 0..!",
    one_time_burst: "integer 0..",
  },
  SnapshotCreate: {
    mem_file_path: "string!",
    snapshot_path: "string!",
    snapshot_type: "=Full|Diff",
  },
  SnapshotLoad: {
    snapshot_path: "string!",
    enable_diff_snapshots: "boolean",
    track_dirty_pages: "boolean",
    mem_file_path: "string",
    mem_backend: "@MemoryBackend",
    resume_vm: "boolean",
    network_overrides: "[@NetworkOverride]",
    vsock_override: "@VsockOverride",
    clock_realtime: "boolean",
    huge_pages: "=Snapshot|None|Transparent|2M",
  },
  MemoryBackend: { backend_type: "=File|Uffd!", backend_path: "string!" },
  NetworkOverride: { iface_id: "string!", host_dev_name: "string!" },
  VsockOverride: { uds_path: "string!" },
  VmState: { state: "=Paused|Resumed!" },
  Entropy: { rate_limiter: "@RateLimiter" },
  Serial: { serial_out_path: "string", rate_limiter: "@TokenBucket" },
  MemoryHotplug: {
    total_size_mib: "integer 0..",
    slot_size_mib: "integer 128..",
    block_size_mib: "integer 2..",
  },
  MemoryHotplugUpdate: { requested_size_mib: "integer 0.." },
  Vsock: { guest_cid: "integer 3..!", uds_path: "string!", vsock_id: "string" },
};

export interface Endpoint {
  /** Name in `objects`; "any" takes every object, undefined takes no body. */
  body?: string;
  /** When it is legal, relative to InstanceStart. */
  when: "before" | "after" | "always";
  /** First version that knows it; everything else is older than 1.7. */
  since?: string;
}

/** "METHOD /path"; "*" is one segment, and must be the same as the body's id. */
export const endpoints: Record<string, Endpoint> = {
  "GET /": { when: "always" },
  "GET /version": { when: "always" },
  "GET /vm/config": { when: "always" },
  "GET /machine-config": { when: "always" },
  "GET /balloon": { when: "always" },
  "GET /balloon/statistics": { when: "after" },
  "GET /balloon/hinting/status": { when: "after", since: "1.14" },
  "GET /hotplug/memory": { when: "after", since: "1.14" },
  "GET /mmds": { when: "always" },
  // Which action is legal when is a rule of its own.
  "PUT /actions": { when: "always", body: "Action" },
  "PUT /balloon": { when: "before", body: "Balloon" },
  "PATCH /balloon": { when: "after", body: "BalloonUpdate" },
  "PATCH /balloon/statistics": { when: "after", body: "BalloonStatsUpdate" },
  "PATCH /balloon/hinting/start": { when: "after", body: "BalloonStartCmd", since: "1.14" },
  "PATCH /balloon/hinting/stop": { when: "after", since: "1.14" },
  "PUT /boot-source": { when: "before", body: "BootSource" },
  "PUT /cpu-config": { when: "before", body: "CpuConfig" },
  "PUT /drives/*": { when: "before", body: "Drive" },
  "PATCH /drives/*": { when: "after", body: "PartialDrive" },
  "PUT /pmem/*": { when: "before", body: "Pmem", since: "1.14" },
  "PATCH /pmem/*": { when: "after", body: "PartialPmem", since: "1.16" },
  "PUT /logger": { when: "before", body: "Logger" },
  "PUT /machine-config": { when: "before", body: "MachineConfiguration" },
  "PATCH /machine-config": { when: "before", body: "MachineUpdate" },
  "PUT /metrics": { when: "before", body: "Metrics" },
  "PUT /mmds": { when: "always", body: "any" },
  "PATCH /mmds": { when: "always", body: "any" },
  "PUT /mmds/config": { when: "before", body: "MmdsConfig" },
  "PUT /entropy": { when: "before", body: "Entropy" },
  "PUT /serial": { when: "before", body: "Serial", since: "1.14" },
  "PUT /hotplug/memory": { when: "before", body: "MemoryHotplug", since: "1.14" },
  "PATCH /hotplug/memory": { when: "after", body: "MemoryHotplugUpdate", since: "1.14" },
  "PUT /network-interfaces/*": { when: "before", body: "NetworkInterface" },
  "PATCH /network-interfaces/*": { when: "after", body: "PartialNetworkInterface" },
  "PUT /snapshot/create": { when: "after", body: "SnapshotCreate" },
  "PUT /snapshot/load": { when: "before", body: "SnapshotLoad" },
  "PATCH /vm": { when: "after", body: "VmState" },
  "PUT /vsock": { when: "before", body: "Vsock" },
};

/** Fields that are younger than 1.7. */
export const fieldsSince: Record<string, string> = {
  "Serial.rate_limiter": "1.16",
  "NetworkInterface.mtu": "1.17",
  "Metrics.emit_id": "1.17",
  "Metrics.properties": "1.17",
  "Balloon.free_page_hinting": "1.14",
  "Balloon.free_page_reporting": "1.14",
  "SnapshotLoad.network_overrides": "1.12",
  "SnapshotLoad.track_dirty_pages": "1.13",
  "SnapshotLoad.vsock_override": "1.16",
  "SnapshotLoad.clock_realtime": "1.16",
  "SnapshotLoad.huge_pages": "1.17",
};

/** What is wrong with a value, as one line; undefined when nothing is. */
export function complaintAbout(value: unknown, type: string, where = "body"): string | undefined {
  const no = (what: string) => `${where}: ${what}`;
  if (type === "any") return undefined;
  if (type.startsWith("@")) return complaintAboutObject(value, type.slice(1), where);
  if (type.startsWith("=")) {
    const words = type.slice(1).split("|");
    if (typeof value === "string" && words.includes(value)) return undefined;
    return no(`unknown variant ${JSON.stringify(value)}, expected one of ${words.join(", ")}`);
  }
  if (type.startsWith("[")) {
    if (!Array.isArray(value)) return no("expected a sequence");
    return firstOf(value, (item, at) => complaintAbout(item, type.slice(1, -1), `${where}[${at}]`));
  }
  if (type.startsWith("{")) {
    if (!isObject(value)) return no("expected a map");
    const items = Object.values(value);
    return firstOf(items, (item) => complaintAbout(item, type.slice(1, -1), `${where}.*`));
  }
  if (!type.startsWith("integer")) {
    return typeof value === type ? undefined : no(`expected ${type}`);
  }
  const [, least = "", most = ""] = /^integer ?(\d*)\.{0,2}(\d*)$/.exec(type) ?? [];
  if (typeof value !== "number" || !Number.isSafeInteger(value)) return no("expected integer");
  const isInside = value >= Number(least || -Infinity) && value <= Number(most || Infinity);
  return isInside ? undefined : no(`${value} is out of range`);
}

function complaintAboutObject(value: unknown, name: string, where: string): string | undefined {
  const fields = objects[name];
  if (!fields) throw new Error(`the description has no object "${name}"`);
  if (!isObject(value)) return `${where}: expected struct ${name}`;
  const unknown = Object.keys(value).find((field) => !(field in fields));
  if (unknown) return `${where}: unknown field \`${unknown}\``;
  return firstOf(Object.entries(fields), ([field, type]) => {
    if (value[field] === undefined) {
      return type.endsWith("!") ? `${where}: missing field \`${field}\`` : undefined;
    }
    return complaintAbout(value[field], type.replace("!", ""), `${where}.${field}`);
  });
}

function firstOf<T>(items: T[], look: (item: T, at: number) => string | undefined) {
  for (const [at, item] of items.entries()) {
    const complaint = look(item, at);
    if (complaint) return complaint;
  }
  return undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The fault for a path that Firecracker opens; undefined when it opens. */
export function cannotOpen(path: unknown, mode: number): string | undefined {
  try {
    closeSync(openSync(String(path), mode));
    return undefined;
  } catch (error) {
    const isMissing = String(error).includes("ENOENT");
    const why = isMissing
      ? "No such file or directory (os error 2)"
      : "Permission denied (os error 13)";
    return `Unable to open "${path}": ${why}`;
  }
}
