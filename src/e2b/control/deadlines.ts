/**
 * Sandboxes that pause at their timeout. Those that end at it need nothing here: their machines have a ttl. The times
 * are in labels, so that the next daemon goes on with them.
 */
import type { Vm } from "#api/vm.ts";
import type { Backend } from "#e2b/backend.ts";
import { isPaused, type Sandbox, sandboxOf } from "#e2b/record.ts";

/** Longer ones overflow in the runtime, and a clock that was set is seen after this long. */
const STEP_MAX_MS = 60_000;
/** After a pause that failed. */
const RETRY_MS = 10_000;

export class Deadlines {
  readonly #backend: Backend;
  readonly #pause: (backend: Backend, sandbox: Sandbox) => Promise<void>;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  #isOver = false;

  constructor(backend: Backend, pause: (backend: Backend, sandbox: Sandbox) => Promise<void>) {
    this.#backend = backend;
    this.#pause = pause;
  }

  /** Schedules the timeouts of all existing sandboxes. */
  async start(): Promise<void> {
    for (const vm of await this.#backend.client.vm.list()) this.watch(vm);
  }

  /** Again whenever its end has changed. */
  watch(vm: Vm): void {
    const sandbox = sandboxOf(vm);
    clearTimeout(this.#timers.get(vm.id));
    this.#timers.delete(vm.id);
    if (sandbox?.record.onTimeout !== "pause" || isPaused(sandbox)) return;
    this.#wake(vm.id, sandbox.end_ms - Date.now());
  }

  close(): void {
    this.#isOver = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  #wake(id: string, in_ms: number): void {
    if (this.#isOver) return;
    const timer = setTimeout(() => void this.#look(id), Math.min(Math.max(in_ms, 0), STEP_MAX_MS));
    timer.unref();
    this.#timers.set(id, timer);
  }

  async #look(id: string): Promise<void> {
    this.#timers.delete(id);
    try {
      const vm = await this.#backend.client.vm.show({ name: id });
      const sandbox = sandboxOf(vm);
      if (!sandbox || isPaused(sandbox)) return;
      if (sandbox.end_ms > Date.now()) return this.watch(vm);
      await this.#pause(this.#backend, sandbox);
    } catch {
      // Removed sandboxes are dropped; failed pauses are retried.
      const isThere = (await this.#backend.client.vm.list()).some((vm) => vm.id === id);
      if (isThere) this.#wake(id, RETRY_MS);
    }
  }
}
