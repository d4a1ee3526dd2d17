/** What the proxy has decided about one machine's connections, as the log shows it beside the kernel's own. */
import type { ConnectionLogEntry, Decision } from "#api/network.ts";

/** A guest decides how many there are: the oldest make room. */
const MAX_ENTRIES = 1024;

export class Reached {
  readonly #entries = new Map<string, ConnectionLogEntry>();
  /** Connections that were let through, by the text of the rule. */
  readonly #byRule = new Map<string, number>();
  #denied = 0;

  add({ verdict, address, name, port, at, rule }: Decision): void {
    if (verdict === "asked") return;
    if (verdict === "denied") this.#denied++;
    else if (rule !== undefined) this.#byRule.set(rule, this.connectionsOf(rule) + 1);
    // A placeholder is no address.
    if (address === undefined || port === undefined) return;
    const key = `${verdict} ${address} ${port} ${name ?? ""}`;
    const packets = (this.#entries.get(key)?.packets ?? 0) + 1;
    this.#entries.delete(key);
    const named = name === undefined ? {} : { name };
    this.#entries.set(key, {
      verdict,
      address,
      ...named,
      protocol: "tcp",
      port,
      packets,
      lastAt: at,
    });
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= MAX_ENTRIES) break;
      this.#entries.delete(oldest);
    }
  }

  get denied(): number {
    return this.#denied;
  }

  connectionsOf(rule: string): number {
    return this.#byRule.get(rule) ?? 0;
  }

  /** A policy that is set anew counts anew. */
  forgetRules(): void {
    this.#byRule.clear();
  }

  list(): ConnectionLogEntry[] {
    return [...this.#entries.values()];
  }
}
