/** Prints a machine's health. */
import type { ServiceCheck, VmHealth } from "#api/health.ts";
import { formatDuration } from "#base/duration.ts";
import { formatSize } from "#base/size.ts";
import { pairs } from "./table.ts";

/** Further off than this, a clock is worth a word. */
const CLOCK_TOLERANCE_MS = 1000;

export function healthText(health: VmHealth): string {
  const { memoryAvailable_bytes, memoryTotal_bytes, clockAhead_ms } = health;
  return pairs([
    ["Name", health.name],
    ["Up", formatDuration(health.uptime_ms)],
    ["Clock", clockText(clockAhead_ms)],
    [
      "Memory",
      `${formatSize(memoryAvailable_bytes)} of ${formatSize(memoryTotal_bytes)} available`,
    ],
    ["Load", health.load.toFixed(2)],
    ["Processes", String(health.processes)],
    ["Checks", checksText(health.checks)],
    ["Health check", healthcheckText(health.healthcheck)],
  ]);
}

/** "web on 8080 open, db on 5432 no answer". */
export function checksText(checks: readonly ServiceCheck[] | undefined): string | undefined {
  if (!checks || checks.length === 0) return undefined;
  return checks
    .map(({ name, port, answers }) => `${name} on ${port} ${answers ? "open" : "no answer"}`)
    .join(", ");
}

/** "healthy", or "unhealthy: connection refused". */
function healthcheckText(health: VmHealth["healthcheck"]): string | undefined {
  if (!health) return undefined;
  const word = health.isHealthy ? "healthy" : "unhealthy";
  const line = health.output.split("\n").at(-1);
  return line ? `${word}: ${Bun.stripANSI(line)}` : word;
}

function clockText(ahead_ms: number): string {
  if (Math.abs(ahead_ms) < CLOCK_TOLERANCE_MS) return "right";
  return `${formatDuration(Math.abs(ahead_ms))} ${ahead_ms > 0 ? "fast" : "slow"}`;
}
