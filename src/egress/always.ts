/** What the user has answered for good, for every machine that asks; a file of the user's. */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { BangerError } from "#base/error.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";

const kept = z.record(z.string(), z.enum(["allow", "deny"]));

export class Always {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** Undefined for what the user has not decided for good. */
  verdictOf(rule: string): boolean | undefined {
    const verdict = this.#read()[rule];
    return verdict === undefined ? undefined : verdict === "allow";
  }

  list(): { rule: string; allow: boolean }[] {
    return Object.entries(this.#read()).map(([rule, verdict]) => ({
      rule,
      allow: verdict === "allow",
    }));
  }

  set(rule: string, isAllowed: boolean): void {
    this.#write({ ...this.#read(), [rule]: isAllowed ? "allow" : "deny" });
  }

  /** `not_found` for a rule that is not kept. */
  remove(rule: string): void {
    const { [rule]: found, ...rest } = this.#read();
    if (found === undefined) {
      throw new BangerError("not_found", `no answer is kept for "${rule}"`, {
        hint: "List kept answers with: banger policy answers",
      });
    }
    this.#write(rest);
  }

  #read(): z.infer<typeof kept> {
    try {
      return kept.parse(JSON.parse(readFileSync(this.#path, "utf8")));
    } catch {
      return {};
    }
  }

  #write(rules: z.infer<typeof kept>): void {
    writeFileAtomic(this.#path, `${JSON.stringify(rules, null, 2)}\n`);
  }
}
