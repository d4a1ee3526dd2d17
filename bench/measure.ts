/** Medians of interleaved runs, and ratios as the benchmarks print them. */

export interface Contestant {
  name: string;
  /** Before each run, and not part of its time. */
  prepare?: () => Promise<unknown>;
  run: () => Promise<unknown>;
}

/** Median milliseconds of each, `rounds` times in turn, so that a slow spell hits all alike. */
export async function race(contestants: Contestant[], rounds: number): Promise<number[]> {
  const times = contestants.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [index, { prepare, run }] of contestants.entries()) {
      await prepare?.();
      const from_ms = performance.now();
      await run();
      times[index]?.push(performance.now() - from_ms);
    }
  }
  const medians = times.map(median);
  for (const [index, { name }] of contestants.entries()) {
    console.log(`${(medians[index] ?? 0).toFixed(1).padStart(9)} ms  ${name}`);
  }
  return medians;
}

export function printRatio(what: string, ratio: number, budget: string): void {
  console.log(`${ratio.toFixed(2).padStart(9)} ×   ${what}; budget ${budget}\n`);
}

/** Runs a program to its end; a non-zero status is an error. */
export async function program(...argv: string[]): Promise<void> {
  const child = Bun.spawn(argv, { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const [stderr, status] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  if (status !== 0) throw new Error(`${argv.join(" ")}: status ${status}: ${stderr}`);
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}
