/** Prints resource usage; rates are the difference of two samples. */
import type { Traffic, VmProcess, VmStats } from "#api/inside.ts";
import { formatDuration } from "#base/duration.ts";
import { formatSize } from "#base/size.ts";
import { table } from "./table.ts";

const NONE = "-";

/** `before`: an earlier look, for the rates. */
export function statsTable(now: readonly VmStats[], before: readonly VmStats[]): string {
  return table(
    [
      ...["NAME", "CPU", "MEMORY", "DISK USED", "DISK R/W", "NET IN/OUT", "PROCESSES", "UP"],
      ...["HOST CPU", "HOST MEMORY", "HOST DISK"],
    ],
    now.map((stats) => {
      const earlier = before.find(({ name }) => name === stats.name);
      const elapsed_ms = earlier ? stats.uptime_ms - earlier.uptime_ms : 0;
      const rates = elapsed_ms > 0 && earlier ? { earlier, elapsed_ms } : undefined;
      const { memory, space, host } = stats;
      return [
        stats.name,
        rates ? percent(busy_ms(stats) - busy_ms(rates.earlier), rates.elapsed_ms) : NONE,
        `${formatSize(memory.total_bytes - memory.available_bytes)} of ${formatSize(memory.total_bytes)}`,
        `${formatSize(space.used_bytes)} of ${formatSize(space.total_bytes)}`,
        rates ? flow(stats.disks, rates.earlier.disks, rates.elapsed_ms) : NONE,
        rates ? flow(outward(stats), outward(rates.earlier), rates.elapsed_ms) : NONE,
        String(stats.processes),
        formatDuration(stats.uptime_ms),
        rates ? percent(host.cpu_ms - rates.earlier.host.cpu_ms, rates.elapsed_ms) : NONE,
        formatSize(host.resident_bytes),
        formatSize(host.disk_bytes),
      ];
    }),
  );
}

/** Those that use the most CPU first. */
export function processTable(
  now: readonly VmProcess[],
  before: readonly VmProcess[],
  elapsed_ms: number,
): string {
  const earlier = new Map(before.map(({ pid, cpu_ms }) => [pid, cpu_ms]));
  const used_ms = ({ pid, cpu_ms }: VmProcess): number =>
    Math.max(0, cpu_ms - (earlier.get(pid) ?? 0));
  const sorted = now.toSorted(
    (a, b) => used_ms(b) - used_ms(a) || b.resident_bytes - a.resident_bytes || a.pid - b.pid,
  );
  return table(
    ["PID", "USER", "STATE", "CPU", "MEMORY", "TIME", "COMMAND"],
    sorted.map((process) => [
      String(process.pid),
      String(process.uid),
      process.state,
      percent(used_ms(process), elapsed_ms),
      formatSize(process.resident_bytes),
      formatDuration(process.cpu_ms),
      process.command,
    ]),
  );
}

function busy_ms({ cpu }: VmStats): number {
  return cpu.user_ms + cpu.system_ms;
}

/** Of one CPU, as top has it. */
function percent(part_ms: number, whole_ms: number): string {
  return `${((100 * Math.max(0, part_ms)) / whole_ms).toFixed(1)} %`;
}

function outward({ interfaces }: VmStats): Traffic[] {
  return interfaces.filter(({ name }) => name !== "lo");
}

function flow(now: readonly Traffic[], before: readonly Traffic[], elapsed_ms: number): string {
  const rate = (of: (traffic: Traffic) => number): string => {
    const sum = (list: readonly Traffic[]): number =>
      list.reduce((total, traffic) => total + of(traffic), 0);
    const bytes = Math.max(0, sum(now) - sum(before));
    return `${formatSize(Math.round((bytes * 1000) / elapsed_ms))}/s`;
  };
  return `${rate(({ read_bytes }) => read_bytes)} ${rate(({ write_bytes }) => write_bytes)}`;
}
