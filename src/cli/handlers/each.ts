/** Runs a command for several objects: all are tried, and all failures shown. */
import { type BangerError, toBangerError } from "#base/error.ts";
import { Failures } from "#cli/print/report.ts";

/** Side by side, so that stopping ten machines takes no longer than one. */
export async function forEach(
  names: readonly string[],
  work: (name: string) => Promise<void>,
): Promise<void> {
  throwFailures(await Promise.allSettled([...new Set(names)].map(work)));
}

/** One after another, for work that shows its progress. What comes after a cancellation is not begun. */
export async function inTurn(
  names: readonly string[],
  work: (name: string) => Promise<void>,
): Promise<void> {
  const results: PromiseSettledResult<void>[] = [];
  for (const name of new Set(names)) {
    const [result] = await Promise.allSettled([work(name)]);
    results.push(result);
    if (result.status === "rejected" && toBangerError(result.reason).code === "cancelled") break;
  }
  throwFailures(results);
}

function throwFailures(results: readonly PromiseSettledResult<void>[]): void {
  const errors = results.flatMap((result): BangerError[] =>
    result.status === "rejected" ? [toBangerError(result.reason)] : [],
  );
  const [first] = errors;
  // A cancellation reaches all of them and is said once.
  if (first && (errors.length === 1 || errors.every(({ code }) => code === "cancelled")))
    throw first;
  if (first) throw new Failures(errors);
}
