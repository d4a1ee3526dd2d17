/** The names in `known` that a person may have meant by `name`, nearest first, three at the most. */
export function similarNames(name: string, known: readonly string[]): string[] {
  return known
    .map((candidate) => ({ candidate, distance: nearness(name, candidate) }))
    .filter(({ candidate, distance }) => distance <= slips(name, candidate))
    .sort((a, b) => a.distance - b.distance || a.candidate.localeCompare(b.candidate))
    .slice(0, 3)
    .map(({ candidate }) => candidate);
}

/** 'Did you mean "a" or "b"?', or `otherwise` when nothing is near. */
export function didYouMean(
  name: string,
  known: readonly string[],
  otherwise?: string,
): string | undefined {
  const near = similarNames(name, known);
  if (near.length === 0) return otherwise;
  return `Did you mean ${near.map((candidate) => `"${candidate}"`).join(" or ")}?`;
}

/** How many slips two names may be apart: one of few letters is soon another one. */
function slips(name: string, candidate: string): number {
  const length = Math.min(name.length, candidate.length);
  if (length <= 2) return 0;
  if (length <= 5) return 1;
  return Math.max(2, Math.floor(length / 4));
}

function nearness(a: string, b: string): number {
  if (a.length >= 3 && (b.startsWith(a) || b.includes(a))) return 1;
  return editDistance(a.toLowerCase(), b.toLowerCase());
}

/** Damerau-Levenshtein distance with adjacent transpositions. */
function editDistance(a: string, b: string): number {
  let older: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const cost = a[row - 1] === b[column - 1] ? 0 : 1;
      let best = Math.min(
        (previous[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (previous[column - 1] ?? 0) + cost,
      );
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        best = Math.min(best, (older[column - 2] ?? 0) + 1);
      }
      current.push(best);
    }
    older = previous;
    previous = current;
  }
  return previous[b.length] ?? 0;
}
