/** Long work in one process that others use as well: it lets them on between slices. */

/** Short enough that nobody who talks to the daemon feels it. */
const SLICE_MS = 10;

/** Call and await it between pieces of the work: every so often it gives the event loop a turn. */
export function slices(): () => Promise<void> | undefined {
  let end_ms = performance.now() + SLICE_MS;
  return () => {
    if (performance.now() < end_ms) return undefined;
    return new Promise((resolve) => {
      setImmediate(() => {
        end_ms = performance.now() + SLICE_MS;
        resolve();
      });
    });
  };
}

const SORTED_AT_ONCE = 4096;

/** Sorts in place, stably, between turns of the event loop. */
export async function sortSlowly<T>(items: T[], compare: (a: T, b: T) => number): Promise<void> {
  if (items.length <= SORTED_AT_ONCE) {
    items.sort(compare);
    return;
  }
  const pause = slices();
  for (let at = 0; at < items.length; at += SORTED_AT_ONCE) {
    const part = items.slice(at, at + SORTED_AT_ONCE).sort(compare);
    for (const [index, item] of part.entries()) items[at + index] = item;
    await pause();
  }
  let from = items;
  let to = new Array<T>(items.length);
  for (let width = SORTED_AT_ONCE; width < items.length; width *= 2) {
    for (let start = 0; start < items.length; start += 2 * width) {
      const middle = Math.min(start + width, items.length);
      const end = Math.min(start + 2 * width, items.length);
      let left = start;
      let right = middle;
      for (let at = start; at < end; at++) {
        const takesLeft =
          left < middle && (right >= end || compare(from[left] as T, from[right] as T) <= 0);
        to[at] = from[takesLeft ? left++ : right++] as T;
        if (at % SORTED_AT_ONCE === 0) await pause();
      }
    }
    [from, to] = [to, from];
  }
  if (from !== items) for (const [index, item] of from.entries()) items[index] = item;
}
