/** What the machine uses, and who listens in it. */
import { MiB } from "#base/size.ts";
import type { Connection } from "./connection.ts";
import { Fields } from "./fields.ts";
import { callProgram, type ProgramOptions } from "./program.ts";
import { Tag } from "./protocol.ts";

const MAX_ANSWER_BYTES = 512 * 1024;
const MAX_NAME_BYTES = 64;
const MAX_COMMAND_BYTES = 512;

export interface ListeningSocket {
  protocol: "tcp" | "udp";
  /** An IPv4 or IPv6 address of the guest; "0.0.0.0" and "::" are all of them. */
  address: string;
  port: number;
  uid: number;
  /** The first process that holds it. */
  process?: { pid: number; name: string };
}

export interface TrafficCounters {
  name: string;
  /** From the disk, or from the network; `readCount` in operations or packets. */
  read_bytes: number;
  readCount: number;
  write_bytes: number;
  writeCount: number;
  /** Packets that were dropped or broken; 0 for a disk. */
  readLost: number;
  writeLost: number;
}

/** One that is no thread of the kernel's. */
export interface GuestProcess {
  pid: number;
  parent: number;
  uid: number;
  /** As /proc has it: "R" runs, "S" sleeps, "D" waits for a disk, "Z" has ended. */
  state: string;
  /** Since it began, in user and kernel mode. */
  cpu_ms: number;
  resident_bytes: number;
  /** When it began, since the machine's boot. */
  started_uptime_ms: number;
  name: string;
  /** Its words joined by spaces, cut where it is long. */
  command: string;
}

/** Counters count since the machine's boot: a rate is the difference of two, by `uptime_ms`. */
export interface GuestStats {
  uptime_ms: number;
  /** Of the last minute, times 1000. */
  load_milli: number;
  processes: number;
  /** Of all CPUs together. */
  cpu: {
    count: number;
    user_ms: number;
    system_ms: number;
    idle_ms: number;
    iowait_ms: number;
    steal_ms: number;
  };
  memory: {
    total_bytes: number;
    available_bytes: number;
    free_bytes: number;
    cached_bytes: number;
    swapTotal_bytes: number;
    swapFree_bytes: number;
  };
  /** Of the file system that the machine writes to. */
  space: { total_bytes: number; used_bytes: number; available_bytes: number };
  disks: TrafficCounters[];
  interfaces: TrafficCounters[];
}

/** TCP sockets that listen and UDP sockets that take from anybody; at most 1024. */
export async function readPorts(
  connection: Connection,
  options: ProgramOptions = {},
): Promise<ListeningSocket[]> {
  const bytes = await call(connection, "ports", options);
  return Fields.parse(bytes).list(Tag.entry).map(decodeSocket);
}

export async function readStats(
  connection: Connection,
  options: ProgramOptions = {},
): Promise<GuestStats> {
  const fields = Fields.parse(await call(connection, "stats", options));
  const number = (tag: number): number => fields.number(tag) ?? 0;
  return {
    uptime_ms: number(Tag.uptime_ms),
    load_milli: number(Tag.load_milli),
    processes: number(Tag.processes),
    cpu: {
      count: number(Tag.cpuCount),
      user_ms: number(Tag.cpuUser_ms),
      system_ms: number(Tag.cpuSystem_ms),
      idle_ms: number(Tag.cpuIdle_ms),
      iowait_ms: number(Tag.cpuIowait_ms),
      steal_ms: number(Tag.cpuSteal_ms),
    },
    memory: {
      total_bytes: number(Tag.memoryTotal_bytes),
      available_bytes: number(Tag.memoryAvailable_bytes),
      free_bytes: number(Tag.memoryFree_bytes),
      cached_bytes: number(Tag.memoryCached_bytes),
      swapTotal_bytes: number(Tag.swapTotal_bytes),
      swapFree_bytes: number(Tag.swapFree_bytes),
    },
    space: {
      total_bytes: number(Tag.spaceTotal_bytes),
      used_bytes: number(Tag.spaceUsed_bytes),
      available_bytes: number(Tag.spaceAvailable_bytes),
    },
    disks: fields.list(Tag.disk).map(decodeCounters),
    interfaces: fields.list(Tag.interface).map(decodeCounters),
  };
}

export async function readProcesses(
  connection: Connection,
  options: ProgramOptions = {},
): Promise<GuestProcess[]> {
  const bytes = await call(connection, "processes", { ...options, outputMax_bytes: 4 * MiB });
  return Fields.parse(bytes).list(Tag.entry).map(decodeProcess);
}

function call(
  connection: Connection,
  name: string,
  options: ProgramOptions & { outputMax_bytes?: number },
): Promise<Uint8Array> {
  const { outputMax_bytes = MAX_ANSWER_BYTES } = options;
  return callProgram(connection, [name], { ...options, feature: name, outputMax_bytes });
}

function decodeProcess(bytes: Uint8Array): GuestProcess {
  const fields = Fields.parse(bytes);
  const name = fields.text(Tag.fileName, MAX_NAME_BYTES) ?? "";
  return {
    pid: fields.number(Tag.pid) ?? 0,
    parent: fields.number(Tag.parent) ?? 0,
    uid: fields.number(Tag.fileUid) ?? 0,
    state: fields.text(Tag.state, 1) ?? "?",
    cpu_ms: (fields.number(Tag.cpuUser_ms) ?? 0) + (fields.number(Tag.cpuSystem_ms) ?? 0),
    resident_bytes: fields.number(Tag.resident_bytes) ?? 0,
    started_uptime_ms: fields.number(Tag.uptime_ms) ?? 0,
    name,
    command: fields.text(Tag.text, MAX_COMMAND_BYTES) ?? `[${name}]`,
  };
}

function decodeSocket(bytes: Uint8Array): ListeningSocket {
  const fields = Fields.parse(bytes);
  const pid = fields.number(Tag.pid);
  const name = fields.text(Tag.text, MAX_NAME_BYTES) ?? "";
  return {
    protocol: fields.text(Tag.protocolName, MAX_NAME_BYTES) === "udp" ? "udp" : "tcp",
    address: fields.text(Tag.host, MAX_NAME_BYTES) ?? "",
    port: (fields.number(Tag.port) ?? 0) & 0xffff,
    uid: fields.number(Tag.fileUid) ?? 0,
    ...(pid === undefined ? {} : { process: { pid, name } }),
  };
}

function decodeCounters(bytes: Uint8Array): TrafficCounters {
  const fields = Fields.parse(bytes);
  return {
    name: fields.text(Tag.fileName, MAX_NAME_BYTES) ?? "",
    read_bytes: fields.number(Tag.read_bytes) ?? 0,
    readCount: fields.number(Tag.readCount) ?? 0,
    write_bytes: fields.number(Tag.write_bytes) ?? 0,
    writeCount: fields.number(Tag.writeCount) ?? 0,
    readLost: fields.number(Tag.readLost) ?? 0,
    writeLost: fields.number(Tag.writeLost) ?? 0,
  };
}
