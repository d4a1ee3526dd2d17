/** Resource usage and console logs of sandboxes. */
import type { VmStats } from "#api/inside.ts";
import type { Backend } from "#e2b/backend.ts";
import { badRequest } from "#e2b/errors.ts";
import { isPaused, type Sandbox } from "#e2b/record.ts";

const LOG_LINES_MAX = 1000;

/** Current values only: banger keeps no history. CPU is the mean since the previous request. */
export class Metrics {
  readonly #last = new Map<string, VmStats>();

  async of({ client }: Backend, sandbox: Sandbox): Promise<object[]> {
    const { id } = sandbox.vm;
    // To look into one that is paused would wake it.
    if (isPaused(sandbox)) {
      this.#last.delete(id);
      return [];
    }
    const stats = await client.inside.stats({ name: id });
    const before = this.#last.get(id);
    if (this.#last.size > SAMPLES_MAX) this.#last.clear();
    this.#last.set(id, stats);
    return [metricsOf(stats, before)];
  }
}

const SAMPLES_MAX = 1000;

/** As the data plane's /metrics has them, too. */
export function metricsOf(stats: VmStats, before?: VmStats) {
  const { cpu, memory, space } = stats;
  const now = new Date();
  return {
    timestamp: now.toISOString(),
    timestampUnix: Math.floor(now.getTime() / 1000),
    cpuCount: cpu.count,
    cpuUsedPct: usedPercent(stats, before),
    memTotal: memory.total_bytes,
    memUsed: memory.total_bytes - memory.available_bytes,
    memCache: memory.cached_bytes,
    diskTotal: space.total_bytes,
    diskUsed: space.used_bytes,
  };
}

/** Of all CPUs together, 0 to 100. */
function usedPercent({ cpu }: VmStats, before: VmStats | undefined): number {
  const busy = ({ user_ms, system_ms, steal_ms }: VmStats["cpu"]) => user_ms + system_ms + steal_ms;
  const rest = ({ idle_ms, iowait_ms }: VmStats["cpu"]) => idle_ms + iowait_ms;
  const isSameBoot = before !== undefined && busy(cpu) >= busy(before.cpu);
  const used = busy(cpu) - (isSameBoot ? busy(before.cpu) : 0);
  const idle = rest(cpu) - (isSameBoot ? rest(before.cpu) : 0);
  const all = used + idle;
  return all > 0 ? Math.round((used / all) * 10_000) / 100 : 0;
}

/** Lines of the console, which have no times of their own. */
export async function logLines(
  { client }: Backend,
  { vm }: Sandbox,
  query: URLSearchParams,
): Promise<{ timestamp: string; line: string }[]> {
  const limit = Number(query.get("limit") ?? LOG_LINES_MAX);
  if (!Number.isInteger(limit) || limit < 0) throw badRequest("invalid limit");
  let text = "";
  const tail = Math.min(limit, LOG_LINES_MAX);
  const chunks = await client.vm.logs({ name: vm.id, console: true, tail });
  for await (const chunk of chunks) text += chunk.text;
  const timestamp = vm.startedAt ?? vm.createdAt;
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.slice(-tail || lines.length).map((line) => ({ timestamp, line }));
}
