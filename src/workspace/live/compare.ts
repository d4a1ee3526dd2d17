/**
 * Decides what a mirror does, from three states: the host's files, the machine's, and how both were when they were last
 * equal. Only files and symlinks count; directories come and go with them.
 */
import { type TreeEntry, TYPE_SYMLINK, typeOf } from "#base/files/tree-records.ts";
import { parentOf } from "#workspace/names.ts";
import { signatureOf } from "#workspace/record.ts";

export type Direction = "both" | "to-vm" | "from-vm";
export type Files = ReadonlyMap<string, TreeEntry>;

/** Signatures of a file of which both sides had the same content. */
export interface Equal {
  host: string;
  guest: string;
}
export type Base = ReadonlyMap<string, Equal>;

/** Changed on both sides: what would be lost is kept beside, as `as`. The other side's file takes the name. */
export interface Keep {
  kind: "keep-guest" | "keep-host";
  name: string;
  as: string;
}
export interface Fetch {
  kind: "fetch";
  name: string;
}
export type Step =
  | { kind: "send"; name: string }
  | Fetch
  | { kind: "remove-guest" | "remove-host"; name: string }
  | Keep;

export interface Comparison {
  steps: Step[];
  /** The same on both sides. */
  equal: string[];
  /** On neither side. */
  gone: string[];
  /** Removed where the changes come from, but changed where they go: they stay. */
  spared: string[];
}

export interface States {
  host: Files;
  guest: Files;
  base: Base;
  /** Names that are not mirrored, such as ignored ones. */
  hidden: ReadonlySet<string>;
}

const MTIME_TOLERANCE_NS = 1_000_000n;

export function compare(states: States, direction: Direction): Comparison {
  const { host, guest, base, hidden } = states;
  const result: Comparison = { steps: [], equal: [], gone: [], spared: [] };
  const keep = namer(states);
  for (const name of new Set([...host.keys(), ...guest.keys(), ...base.keys()])) {
    if (hidden.has(name)) continue;
    const [h, g] = [host.get(name), guest.get(name)];
    if (!h && !g) result.gone.push(name);
    else if (h && g && looksEqual(h, g)) result.equal.push(name);
    else {
      const step = stepOf(name, { h, g, known: base.get(name), direction, keep });
      if (step === "spared") result.spared.push(name);
      else if (step) result.steps.push(step);
    }
  }
  clearPaths(result, states, { direction, keep });
  return result;
}

/** Only the executable bit of a mode reaches the host, and its clock calls may round times. */
export function looksEqual(a: TreeEntry, b: TreeEntry): boolean {
  if (typeOf(a) !== typeOf(b)) return false;
  if (typeOf(a) === TYPE_SYMLINK) return a.target === b.target;
  const apart = timeOf(a) - timeOf(b);
  const isSameTime = apart < MTIME_TOLERANCE_NS && apart > -MTIME_TOLERANCE_NS;
  return a.size === b.size && (a.mode & 0o100) === (b.mode & 0o100) && isSameTime;
}

function timeOf({ mtime_s, mtime_ns }: TreeEntry): bigint {
  return BigInt(mtime_s) * 1_000_000_000n + BigInt(mtime_ns);
}

interface One {
  h: TreeEntry | undefined;
  g: TreeEntry | undefined;
  known: Equal | undefined;
  direction: Direction;
  keep: (name: string, suffix: string) => string;
}

function stepOf(name: string, { h, g, known, direction, keep }: One): Step | "spared" | undefined {
  const isHostChanged = (h && signatureOf(h)) !== known?.host;
  const isGuestChanged = (g && signatureOf(g)) !== known?.guest;
  const isConflict = isHostChanged && isGuestChanged;
  if (direction === "from-vm") {
    if (!isGuestChanged) return undefined;
    if (!g) return isConflict ? "spared" : { kind: "remove-host", name };
    if (h && isConflict) return { kind: "keep-host", name, as: keep(name, "conflict-host") };
    return { kind: "fetch", name };
  }
  if (h && g && isConflict) return { kind: "keep-guest", name, as: keep(name, "conflict-vm") };
  if (isHostChanged && h) return { kind: "send", name };
  if (direction === "to-vm") {
    if (!isHostChanged) return undefined;
    return isGuestChanged ? "spared" : { kind: "remove-guest", name };
  }
  if (isGuestChanged) return g ? { kind: "fetch", name } : { kind: "remove-host", name };
  return isHostChanged ? { kind: "remove-guest", name } : undefined;
}

/** "NAME.conflict-vm", or with a number if that exists. */
function namer({ host, guest, base, hidden }: States): One["keep"] {
  const made = new Map<string, string>();
  const taken = new Set<string>();
  const isTaken = (name: string): boolean =>
    taken.has(name) || [host, guest, base, hidden].some((names) => names.has(name));
  return (name, suffix) => {
    const known = made.get(name);
    if (known !== undefined) return known;
    let as = `${name}.${suffix}`;
    for (let count = 2; isTaken(as); count++) as = `${name}.${suffix}-${count}`;
    taken.add(as);
    made.set(name, as);
    return as;
  };
}

/** A file of one side where the other has a directory: one of them is in the way, and is kept under another name. */
function clearPaths(
  result: Comparison,
  { host, guest, hidden }: States,
  { direction, keep }: Pick<One, "direction" | "keep">,
): void {
  const steps = new Map(result.steps.map((step) => [step.name, step]));
  const stays = (name: string, kind: Step["kind"]): boolean =>
    !hidden.has(name) && steps.get(name)?.kind !== kind;
  const written = (name: string, kinds: readonly Step["kind"][]): boolean =>
    kinds.includes(steps.get(name)?.kind as Step["kind"]);
  const isFrom = direction === "from-vm";
  const [winners, losers] = isFrom ? [guest, host] : [host, guest];
  const moves: Step["kind"] = isFrom ? "keep-host" : "keep-guest";
  const wins = (name: string): boolean => {
    if (!stays(name, isFrom ? "remove-guest" : "remove-host")) return false;
    return direction === "both" || written(name, isFrom ? ["fetch"] : ["send", moves]);
  };
  const winning = new Set([...winners.keys()].filter(wins));
  const folders = new Set<string>();
  for (const name of winning)
    for (let at = parentOf(name); at !== "" && !folders.has(at); at = parentOf(at)) folders.add(at);
  const suffix = isFrom ? "conflict-host" : "conflict-vm";
  for (const name of losers.keys()) {
    if (!stays(name, isFrom ? "remove-host" : "remove-guest") || winning.has(name)) continue;
    const root = folders.has(name) ? name : ancestorIn(winning, name);
    if (root === undefined) continue;
    steps.set(name, { kind: moves, name, as: `${keep(root, suffix)}${name.slice(root.length)}` });
  }
  result.steps = [...steps.values()];
}

function ancestorIn(names: ReadonlySet<string>, name: string): string | undefined {
  for (let at = parentOf(name); at !== ""; at = parentOf(at)) if (names.has(at)) return at;
  return undefined;
}
