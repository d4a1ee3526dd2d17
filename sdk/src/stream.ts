/** Long work: a stream of reports that ends in the noun it was about. */
import type { OnProgress } from "#base/progress.ts";

/** As the contract has it, where an absent number may also be undefined. */
interface Report {
  step: string;
  message: string;
  done?: number | undefined;
  total?: number | undefined;
  unit?: "bytes" | "items" | undefined;
  lines?: string[] | undefined;
}

/** What a procedure that streams its progress gives. */
export type Work<T> = PromiseLike<AsyncIterator<Report, T>>;

/** Hands each report on and gives the noun; throws what the work failed with. */
export async function finish<T>(work: Work<T>, onProgress: OnProgress = () => {}): Promise<T> {
  const stream = await work;
  for (;;) {
    const { done: isOver, value } = await stream.next();
    if (isOver) return value;
    const { step, message, done, total, unit, lines } = value;
    onProgress({
      step,
      message,
      done,
      total,
      unit,
      lines,
    });
  }
}
