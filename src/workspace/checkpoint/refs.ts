/** Names of checkpoints: hidden refs of the repository in the machine, which no branch or tag shows. */
import type { GuestRefs } from "#workspace/guest/refs.ts";

const PREFIX = "refs/banger/checkpoints/";
/** Numbers sort as text. */
const DIGITS = 4;

export function checkpointRef(number: number): string {
  return `${PREFIX}${String(number).padStart(DIGITS, "0")}`;
}

/** Commits by number, the oldest first. The guest can change them, so they may name anything. */
export function checkpointIds({ refs }: GuestRefs): Map<number, string> {
  const found = [...refs].flatMap(([name, id]): [number, string][] => {
    const digits = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : "";
    return /^\d{1,9}$/.test(digits) ? [[Number(digits), id]] : [];
  });
  return new Map(found.sort(([a], [b]) => a - b));
}
