/** Long work: a stream of reports that ends in the noun it was about. */
import type { OnProgress, Progress } from "#base/progress.ts";

export type { OnProgress, Progress } from "#base/progress.ts";

/** What a procedure that streams its progress gives. */
export type Work<T> = PromiseLike<AsyncIterator<Progress, T>>;

/** Hands each report on and gives the noun; throws what the work failed with. */
export async function finish<T>(work: Work<T>, onProgress: OnProgress = () => {}): Promise<T> {
  const stream = await work;
  for (;;) {
    const { done: isOver, value } = await stream.next();
    if (isOver) return value;
    onProgress(value);
  }
}
