/**
 * Limits what a tap carries, with the kernel's token buckets. What the machine receives leaves the host by the tap, which
 * has a queue of its own. What it sends arrives there, where the kernel only drops; so it is led through the queue of an
 * intermediate device (ifb) first, and is taken up by the bridge as a frame of the tap after that.
 */
import { z } from "zod";
import { BangerError } from "#base/error.ts";
import { run, which } from "#base/run.ts";
import { deviceMtu, readDevice } from "#net/devices.ts";
import { canHaveIpv6 } from "#net/ipv6.ts";
import { applyLinks, removeCommand } from "#net/link.ts";
import { isTapMode, type NetworkMode } from "#net/mode.ts";

/** Averages in bytes a second; 0 or absent: none. */
export interface Bandwidth {
  /** What the machine receives. */
  in_bytes_per_s?: number | undefined;
  /** What it sends. */
  out_bytes_per_s?: number | undefined;
}

/** What a queue has let through since the limit was set, and held back. */
export interface QueueCounters {
  bytes: number;
  packets: number;
  /** How often something had to wait. */
  throttled: number;
  /** Packets that found no room. */
  dropped: number;
}

export interface BandwidthCounters {
  in?: QueueCounters;
  out?: QueueCounters;
}

const queues = z.array(
  z.looseObject({
    kind: z.string(),
    bytes: z.number().optional(),
    packets: z.number().optional(),
    overlimits: z.number().optional(),
    drops: z.number().optional(),
  }),
);

const TIMEOUT_MS = 60_000;
const FRAME_HEADER_BYTES = 64;
/** At most this part of a second's worth passes at once. */
const BURST = 1 / 20;
/** So much of a second's worth waits; more is dropped, which is what slows a sender down. */
const QUEUE = 1 / 10;
/** A guest gives the host segments of TCP in pieces of up to this. */
const QUEUE_MIN_BYTES = 128 * 1024;

export function hasBandwidth(bandwidth: Bandwidth | undefined): bandwidth is Bandwidth {
  return Boolean(bandwidth?.in_bytes_per_s || bandwidth?.out_bytes_per_s);
}

/** `unsupported` in a mode without a tap. */
export function assertLimitable(bandwidth: Bandwidth | undefined, mode: NetworkMode): void {
  if (!hasBandwidth(bandwidth) || isTapMode(mode)) return;
  throw new BangerError(
    "unsupported",
    `Cannot limit the network bandwidth of a machine with --net ${mode}`,
    { hint: "Use --net nat or --net host" },
  );
}

/** Names the intermediate device of a tap "bgr-…". */
export function intermediateName(tap: string): string {
  return tap.replace(/^bgr-/, "bgi-");
}

/** The intermediate device of a tap, if it has one that banger made. */
export function intermediateOf(tap: string): string | undefined {
  const name = intermediateName(tap);
  return readDevice(name)?.alias === aliasOf(tap) ? name : undefined;
}

/** Puts a tap under these limits, and under no others. */
export async function limitTap(tap: string, bandwidth: Bandwidth): Promise<void> {
  const { in_bytes_per_s = 0, out_bytes_per_s = 0 } = bandwidth;
  const mtu = deviceMtu(tap);
  const name = intermediateName(tap);
  const present = intermediateOf(tap);
  const inward = in_bytes_per_s ? [queueCommand(tap, in_bytes_per_s, mtu)] : await unlimited(tap);
  if (out_bytes_per_s && !present) await applyLinks(intermediateCommands(tap, mtu));
  // What an interrupted change left half done is led again, or led no more.
  const isLed = present !== undefined && (await hasIngress(tap));
  try {
    await applyQueues([
      ...(out_bytes_per_s ? [queueCommand(name, out_bytes_per_s, mtu)] : []),
      ...(out_bytes_per_s ? leadCommands(tap, isLed) : []),
      ...(!out_bytes_per_s && isLed ? [`qdisc del dev ${tap} ingress`] : []),
      ...inward,
    ]);
  } catch (error) {
    // A frame that is led nowhere is lost.
    if (!present && intermediateOf(tap)) await stopLeading(tap).catch(() => {});
    throw error;
  }
  if (!out_bytes_per_s && present) await applyLinks([removeCommand(present)]);
}

/** Of a tap's limits; nothing of one without. */
export async function readCounters(tap: string): Promise<BandwidthCounters> {
  const intermediate = intermediateOf(tap);
  const [inward, outward] = await Promise.all([
    countersOf(tap),
    intermediate === undefined ? undefined : countersOf(intermediate),
  ]);
  return { ...(inward ? { in: inward } : {}), ...(outward ? { out: outward } : {}) };
}

async function countersOf(device: string): Promise<QueueCounters | undefined> {
  if (!readDevice(device)) return undefined;
  const { stdout } = await tc(["-json", "-stats", "qdisc", "show", "dev", device, "root"]);
  const queue = queues.parse(JSON.parse(stdout || "[]")).find(({ kind }) => kind === "tbf");
  if (!queue) return undefined;
  const { bytes = 0, packets = 0, overlimits: throttled = 0, drops: dropped = 0 } = queue;
  return { bytes, packets, throttled, dropped };
}

/** Those of `ip`. */
export function intermediateCommands(tap: string, mtu: number): string[] {
  const name = intermediateName(tap);
  const noAddress6 = canHaveIpv6(mtu) ? "addrgenmode none " : "";
  return [
    `link add name ${name} mtu ${mtu} type ifb`,
    `link set dev ${name} alias ${aliasOf(tap)} ${noAddress6}up`,
  ];
}

/** Those of `tc`: the queue of a device, in which any frame fits. */
export function queueCommand(device: string, bytes_per_s: number, mtu: number): string {
  const burst = Math.max(Math.ceil(bytes_per_s * BURST), mtu + FRAME_HEADER_BYTES);
  const limit = burst + Math.max(Math.ceil(bytes_per_s * QUEUE), QUEUE_MIN_BYTES);
  return `qdisc replace dev ${device} root tbf rate ${bytes_per_s}bps burst ${burst} limit ${limit}`;
}

/** A filter with a handle of its own takes the place of one that is there. */
function leadCommands(tap: string, isLed: boolean): string[] {
  const all = "protocol all prio 1 handle 800::800 u32 match u32 0 0";
  return [
    ...(isLed ? [] : [`qdisc add dev ${tap} ingress`]),
    `filter replace dev ${tap} parent ffff: ${all} action mirred egress redirect dev ${intermediateName(tap)}`,
  ];
}

async function hasIngress(tap: string): Promise<boolean> {
  const { stdout } = await tc(["qdisc", "show", "dev", tap, "ingress"]);
  return stdout.startsWith("qdisc ingress ");
}

/** The kernel refuses to remove the queue that each device has of itself. */
async function unlimited(tap: string): Promise<string[]> {
  const { stdout } = await tc(["qdisc", "show", "dev", tap, "root"]);
  return /^qdisc tbf /m.test(stdout) ? [`qdisc del dev ${tap} root`] : [];
}

async function stopLeading(tap: string): Promise<void> {
  await tc(["qdisc", "del", "dev", tap, "ingress"]).catch(() => {});
  await applyLinks([removeCommand(intermediateName(tap))]);
}

async function applyQueues(commands: readonly string[]): Promise<void> {
  if (commands.length > 0) await tc(["-batch", "-"], `${commands.join("\n")}\n`);
}

async function tc(args: readonly string[], stdin = ""): Promise<{ stdout: string }> {
  if (!which("tc")) {
    throw new BangerError("unsupported", "Cannot limit the network bandwidth: not installed: tc", {
      hint: "Install iproute2 (iproute-tc in Fedora, iproute2-tc in Alpine)",
    });
  }
  const { exitCode, stdout, stderr } = await run(["tc", ...args], {
    stdin,
    timeout_ms: TIMEOUT_MS,
  });
  if (exitCode === 0) return { stdout };
  const reason = stderr.replace(/\s*Command failed -:\d+\s*/, "").trim();
  throw new BangerError("unsupported", `Cannot limit the network bandwidth: tc: ${reason}`, {
    hint: "The kernel needs sch_tbf, sch_ingress, cls_u32, act_mirred and ifb",
  });
}

function aliasOf(tap: string): string {
  return `banger:bandwidth:${tap}`;
}
