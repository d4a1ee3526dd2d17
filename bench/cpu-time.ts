/** Processor time by who spent it, which other load on the host changes less than the time on the clock. */
import { existsSync, readFileSync } from "node:fs";
import type { Installation } from "#test/installation.ts";

/** Of /proc/PID/stat, and Linux's unit of it on every architecture. */
const UTIME = 13;
const CHILDREN_UTIME = 15;
const TICK_MS = 10;

const SPENDERS = ["Commands on the host", "Daemon", "Machine"];

/** Milliseconds so far: of commands that have ended, of the daemon, and of the VMM with what it emulates. */
export function cpuTimes(banger: Installation): number[] {
  const sum = (isMeant: (command: string) => boolean): number =>
    banger
      .processes()
      .filter(({ command }) => isMeant(command))
      .reduce((total, { pid }) => total + ticks(pid, UTIME) + ticks(pid, CHILDREN_UTIME), 0);
  const isVmm = (command: string): boolean => /qemu-system|firecracker/.test(command);
  const commands = ticks("self", CHILDREN_UTIME);
  return [commands, sum((each) => !isVmm(each)), sum(isVmm)].map((count) => count * TICK_MS);
}

export function printProfile(profiles: readonly (readonly [string, readonly number[]])[]): void {
  console.log(`| Processor time | ${SPENDERS.join(" | ")} | Together |`);
  console.log(`| --- |${" --- |".repeat(SPENDERS.length + 1)}`);
  for (const [name, times] of profiles) {
    const total = times.reduce((sum, ms) => sum + ms, 0);
    const cells = [...times, total].map((ms) => `${(ms / 1000).toFixed(1)} s`);
    console.log(`| ${name} | ${cells.join(" | ")} |`);
  }
}

/** User and system time, which are beside each other. */
function ticks(pid: number | string, first: number): number {
  const path = `/proc/${pid}/stat`;
  // It may have ended meanwhile.
  const stat = existsSync(path) ? readFileSync(path, "latin1") : "";
  if (stat === "") return 0;
  // The name before, in parentheses, may have blanks.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[first - 2]) + Number(fields[first - 1]);
}
