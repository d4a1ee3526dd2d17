/** Turns long work into an event iterator, and a client that disconnects into an abort. */
import { setTimeout as sleep } from "node:timers/promises";
import { onAbort } from "#base/abort.ts";
import type { OnProgress, Progress } from "#base/progress.ts";

/** Reports that nobody has read yet, and steps whose first report is told for certain. */
const PENDING_MAX = 1000;
/** Lines of one step that nobody has read yet; older ones are dropped. */
const PENDING_LINES_MAX = 1000;
/** Between reports: a person sees no more of them, and each costs both sides as much as a piece of the work. */
const PAUSE_MS = 50;

export interface Work {
  signal: AbortSignal;
  onProgress: OnProgress;
}

/**
 * Yields the work's progress and returns its result. When the reader stops early or
 * `signal` fires, the work is aborted and awaited, so that it has undone itself
 * before the request is over.
 */
export async function* withProgress<T>(
  signal: AbortSignal | undefined,
  work: (options: Work) => Promise<T>,
): AsyncGenerator<Progress, T> {
  const abort = new AbortController();
  using _ = onAbort(signal, () => abort.abort());
  const pending = new PendingReports();
  let wake = Promise.withResolvers<void>();
  const onProgress: OnProgress = (progress) => {
    pending.add(progress);
    wake.resolve();
  };
  let isOver = false;
  const result = work({ signal: abort.signal, onProgress }).finally(() => {
    isOver = true;
    wake.resolve();
  });
  const end = result.then(
    () => {},
    () => {},
  );
  try {
    while (!isOver || !pending.isEmpty) {
      await wake.promise;
      wake = Promise.withResolvers();
      yield* pending.take();
      await Promise.race([end, sleep(PAUSE_MS, undefined, { ref: false })]);
    }
    return await result;
  } finally {
    if (!isOver) abort.abort();
    await result.catch(() => {});
  }
}

/** What is yet to be told, in order: that a step began, and the newest report of each. */
class PendingReports {
  #reports: Progress[] = [];
  /** Of steps whose beginning is told of: where the report lies that a newer one replaces. */
  readonly #newest = new Map<string, number>();
  readonly #begun = new Set<string>();

  get isEmpty(): boolean {
    return this.#reports.length === 0;
  }

  add(progress: Progress): void {
    const { step } = progress;
    const at = this.#newest.get(step) ?? this.#reports.length;
    if (at >= PENDING_MAX) return;
    const isFirst = !this.#begun.has(step) && this.#begun.size < PENDING_MAX;
    if (isFirst) this.#begun.add(step);
    else this.#newest.set(step, at);
    const unread = this.#reports[at]?.lines ?? [];
    const lines = [...unread, ...(progress.lines ?? [])].slice(-PENDING_LINES_MAX);
    this.#reports[at] = lines.length > 0 ? { ...progress, lines } : progress;
  }

  take(): Progress[] {
    const reports = this.#reports;
    this.#reports = [];
    this.#newest.clear();
    return reports;
  }
}
