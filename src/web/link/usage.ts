/** What machines cost the host, as the daemon measures it: one stream for all of them. */
import { signal } from "@preact/signals";
import type { UsageSample } from "#api/ui/usage.ts";
import { daemon, login } from "./daemon.ts";

const KEPT_MAX = 720;
const RETRY_MS = 2000;

export const usage = signal<ReadonlyMap<string, readonly UsageSample[]>>(new Map());

const NONE: readonly UsageSample[] = [];

export function usageOf(id: string): readonly UsageSample[] {
  return usage.value.get(id) ?? NONE;
}

export async function followUsage(): Promise<void> {
  while (login.value === "in") {
    try {
      let isFirst = true;
      for await (const { machines } of await daemon.system.usage(undefined)) {
        const before = isFirst ? new Map<string, readonly UsageSample[]>() : usage.value;
        isFirst = false;
        usage.value = new Map(
          machines.map(({ id, samples }) => {
            const known = before.get(id) ?? NONE;
            const last_ms = known.at(-1)?.at_ms ?? 0;
            const fresh = samples.filter(({ at_ms }) => at_ms > last_ms);
            return [id, fresh.length > 0 ? [...known, ...fresh].slice(-KEPT_MAX) : known];
          }),
        );
      }
    } catch {
      // The list of machines tells that the daemon is gone.
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}
