import { formatDuration } from "#base/duration.ts";

/** "5m12s ago"; a clock that went back counts as now. */
export function ago(time: string, now_ms = Date.now()): string {
  const elapsed_s = Math.round(Math.max(0, now_ms - Date.parse(time)) / 1000);
  return elapsed_s === 0 ? "now" : `${formatDuration(elapsed_s * 1000).replace(".0s", "s")} ago`;
}
