/** Destinations that machines wait for, until the user has answered, or for a minute. */
import type { PolicyAnswer, PolicyQuestion } from "#api/network.ts";
import { Feed } from "#base/async/feed.ts";
import { BangerError } from "#base/error.ts";
import { newId } from "#base/id.ts";
import type { Always } from "./always.ts";
import type { Ask, Question } from "./ask.ts";

const HOLD_MS = 60_000;
/** Of all machines; beyond these the answer is no at once. */
const MAX_QUESTIONS = 256;
const MAX_OF_MACHINE = 32;

interface Pending {
  question: PolicyQuestion;
  answer: PromiseWithResolvers<boolean>;
  /** Connections that wait for it. */
  waiting: number;
}

export interface QuestionsOptions {
  nameOf: (machineId: string) => string | undefined;
  /** Adds a rule to a machine's policy. */
  addRule: (machineId: string, rule: string) => Promise<void>;
  always: Always;
  hold_ms?: number;
}

export class Questions {
  readonly #options: QuestionsOptions;
  readonly #pending = new Map<string, Pending>();
  readonly #feed = new Feed<PolicyQuestion[]>();

  constructor(options: QuestionsOptions) {
    this.#options = options;
  }

  list(): PolicyQuestion[] {
    return [...this.#pending.values()].map(({ question }) => question);
  }

  /** What is open now, and then again whenever that changes. */
  async *watch(signal: AbortSignal | undefined): AsyncGenerator<PolicyQuestion[], void> {
    const changes = this.#feed.listen(signal);
    yield this.list();
    yield* changes;
  }

  readonly ask: Ask = async (wanted, signal) => {
    const known = this.#options.always.verdictOf(ruleOf(wanted));
    if (known !== undefined) return known;
    const pending = this.#open(wanted);
    if (!pending) return false;
    pending.waiting++;
    const onAbort = (): void => this.#leave(pending);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      if (signal.aborted) onAbort();
      return await pending.answer.promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  };

  /** `not_found` for a question that has been answered, or has waited too long. */
  async answer({ id, allow, scope }: PolicyAnswer): Promise<void> {
    const pending = this.#pending.get(id);
    if (!pending) {
      throw new BangerError("not_found", `no such question "${id}": answered, or timed out`, {
        hint: "The machine asks again when it connects again; wait for it with: banger policy watch",
      });
    }
    const { question } = pending;
    const rule = ruleOf(question);
    if (scope === "always") this.#options.always.set(rule, allow);
    if (scope === "machine") {
      await this.#options.addRule(question.machineId, allow ? rule : `deny ${rule}`);
    }
    this.#close(pending, allow);
  }

  /** One question for all connections of a machine to one destination. */
  #open(wanted: Question): Pending | undefined {
    const { machineId } = wanted;
    const rule = ruleOf(wanted);
    const ofMachine = [...this.#pending.values()].filter(
      ({ question }) => question.machineId === machineId,
    );
    const same = ofMachine.find(({ question }) => ruleOf(question) === rule);
    if (same) return same;
    const vm = this.#options.nameOf(machineId);
    const isFull = this.#pending.size >= MAX_QUESTIONS || ofMachine.length >= MAX_OF_MACHINE;
    if (vm === undefined || isFull) return undefined;
    const { hold_ms = HOLD_MS } = this.#options;
    const now_ms = Date.now();
    const question = {
      ...wanted,
      id: newId(),
      vm,
      at: new Date(now_ms).toISOString(),
      expiresAt: new Date(now_ms + hold_ms).toISOString(),
    };
    const pending = { question, answer: Promise.withResolvers<boolean>(), waiting: 0 };
    this.#pending.set(question.id, pending);
    // No answer is a no.
    const timer = setTimeout(() => this.#close(pending, false), hold_ms);
    void pending.answer.promise.then(() => clearTimeout(timer));
    this.#feed.publish(this.list());
    return pending;
  }

  /** A machine that has hung up needs no answer. */
  #leave(pending: Pending): void {
    pending.waiting--;
    if (pending.waiting <= 0) this.#close(pending, false);
  }

  #close({ question, answer }: Pending, isAllowed: boolean): void {
    answer.resolve(isAllowed);
    if (this.#pending.delete(question.id)) this.#feed.publish(this.list());
  }
}

/** The rule that an answer for good is kept as. */
function ruleOf({ name, address = "", port }: Omit<Question, "machineId">): string {
  const host = name ?? (address.includes(":") ? `[${address}]` : address);
  return `${host}:${port}`;
}
