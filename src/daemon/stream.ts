/** Turns long work into the event iterator that a client reads, and a client that leaves into an abort. */
import { setTimeout as sleep } from "node:timers/promises";
import type { OnProgress, Progress } from "#base/progress.ts";

/** Reports of steps that nobody has read yet; a step's newest report replaces its older one. */
const PENDING_STEPS_MAX = 1000;
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
  const onAbort = (): void => abort.abort();
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted) abort.abort();
  const pending = new Map<string, Progress>();
  let wake = Promise.withResolvers<void>();
  const onProgress: OnProgress = (progress) => {
    if (pending.size >= PENDING_STEPS_MAX && !pending.has(progress.step)) return;
    const unread = pending.get(progress.step)?.lines ?? [];
    const lines = [...unread, ...(progress.lines ?? [])].slice(-PENDING_LINES_MAX);
    pending.set(progress.step, lines.length > 0 ? { ...progress, lines } : progress);
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
    while (!isOver || pending.size > 0) {
      await wake.promise;
      wake = Promise.withResolvers();
      const batch = [...pending.values()];
      pending.clear();
      yield* batch;
      await Promise.race([end, sleep(PAUSE_MS, undefined, { ref: false })]);
    }
    return await result;
  } finally {
    signal?.removeEventListener("abort", onAbort);
    if (!isOver) abort.abort();
    await result.catch(() => {});
  }
}
