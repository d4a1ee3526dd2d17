/** The layer of a node, and whether the layer has an entry for it or only implies it as a parent directory. */

export type StampKind = "implicit" | "explicit";

/** `layer` counts from 1. */
export function stampOf(layer: number, kind: StampKind): number {
  return layer * 2 + (kind === "explicit" ? 1 : 0);
}

/** Whether a stamp was set by a layer below `layer`. */
export function isOlder(stamp: number, layer: number): boolean {
  return stamp >>> 1 < layer;
}

export function isImplicit(stamp: number): boolean {
  return (stamp & 1) === 0;
}
