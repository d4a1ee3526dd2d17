/** What DNS server and proxy have decided about each machine; kept while the daemon runs. */
import type { Decision } from "#api/network.ts";
import { Feed } from "#base/async/feed.ts";

/** Of one machine; older ones are forgotten. */
const MAX_KEPT = 1000;

export class DecisionLog {
  readonly #kept = new Map<string, Decision[]>();
  readonly #feed = new Feed<Decision>();

  readonly add = (decision: Decision): void => {
    const kept = this.#kept.get(decision.machineId) ?? [];
    kept.push(decision);
    if (kept.length > MAX_KEPT) kept.shift();
    this.#kept.set(decision.machineId, kept);
    this.#feed.publish(decision);
  };

  of(machineId: string): Decision[] {
    return [...(this.#kept.get(machineId) ?? [])];
  }

  forget(machineId: string): void {
    this.#kept.delete(machineId);
  }

  /** Those that are kept, and then each new one until `signal` fires. */
  async *follow(
    machineId: string,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Decision, void> {
    const news = this.#feed.listen(signal);
    yield* this.of(machineId);
    for await (const decision of news) if (decision.machineId === machineId) yield decision;
  }
}
