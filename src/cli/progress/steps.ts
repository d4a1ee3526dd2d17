/** Tracks the steps of long work: active, finished, and their rate. */
import { type Progress, warningOf } from "#base/progress.ts";

/** The rate is taken over this much of the past. */
const RATE_WINDOW_MS = 4_000;
const SAMPLES_MAX = 100;
/** More than any work has; beyond it, steps are shown and then forgotten. */
const REMEMBERED_MAX = 10_000;

export interface Step extends Progress {
  /** Which of several works side by side it belongs to. */
  lane: string;
  /** What it was called when it began: later messages say how far it is. */
  title: string;
  started_ms: number;
  finished_ms?: number;
  /** Units per second, once it can be told. */
  rate?: number;
}

export interface Change {
  begun: Step[];
  finished: Step[];
  /** What is no step. */
  warning?: string;
}

export class Steps {
  readonly #active = new Map<string, Step>();
  readonly #samples = new Map<string, { at_ms: number; done: number }[]>();
  readonly #over = new Set<string>();

  get active(): Step[] {
    return [...this.#active.values()];
  }

  /**
   * A step that counts towards a total is over when it is reached, any other one as soon
   * as the next step of its lane begins.
   */
  report(progress: Progress, now_ms: number, lane = ""): Change {
    const change: Change = { begun: [], finished: [] };
    const warning = warningOf(progress);
    if (warning !== undefined) return { ...change, warning };
    const key = keyOf({ step: progress.step, lane });
    const known = this.#active.get(key);
    if (!known && this.#over.has(key)) return change;
    const { started_ms = now_ms, title = progress.message } = known ?? {};
    const step: Step = { ...progress, lane, title, started_ms };
    if (!known) {
      change.begun.push(step);
      for (const other of this.active) {
        if (other.total === undefined && other.lane === lane)
          change.finished.push(this.#finish(other, now_ms));
      }
    }
    const rate = this.#sample(step, now_ms);
    if (rate !== undefined) step.rate = rate;
    this.#active.set(key, step);
    if (step.total !== undefined && (step.done ?? 0) >= step.total) {
      change.finished.push(this.#finish(step, now_ms));
    }
    return change;
  }

  /** The work of a lane is done, and with it each of its steps. */
  finishAll(now_ms: number, lane = ""): Step[] {
    return this.active
      .filter((step) => step.lane === lane)
      .map((step) => this.#finish(step, now_ms));
  }

  /** Nothing goes on: the steps of all lanes that were under way. */
  endAll(now_ms: number): Step[] {
    return this.active.map((step) => this.#finish(step, now_ms));
  }

  #finish(step: Step, now_ms: number): Step {
    const key = keyOf(step);
    this.#active.delete(key);
    this.#samples.delete(key);
    if (this.#over.size < REMEMBERED_MAX) this.#over.add(key);
    return { ...step, finished_ms: now_ms };
  }

  #sample(step: Step, now_ms: number): number | undefined {
    const { done } = step;
    if (done === undefined) return undefined;
    const key = keyOf(step);
    const samples = this.#samples.get(key) ?? [];
    samples.push({ at_ms: now_ms, done });
    while (
      samples.length > SAMPLES_MAX ||
      (samples.length > 2 && now_ms - (samples[0]?.at_ms ?? now_ms) > RATE_WINDOW_MS)
    ) {
      samples.shift();
    }
    this.#samples.set(key, samples);
    const [first] = samples;
    const elapsed_ms = now_ms - (first?.at_ms ?? now_ms);
    if (!first || elapsed_ms < 200 || done < first.done) return undefined;
    return ((done - first.done) * 1000) / elapsed_ms;
  }
}

function keyOf({ step, lane }: { step: string; lane: string }): string {
  return `${lane}\0${step}`;
}
