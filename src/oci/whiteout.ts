/**
 * How a layer says that something of the layers below it is gone: an empty file ".wh.NAME" beside
 * where NAME was, or ".wh..wh..opq" in a folder for all that was in it.
 * Source: OCI image specification, layer.md ("Whiteouts").
 */

export type Whiteout =
  | { kind: "none" }
  /** The named entry of the same folder goes. */
  | { kind: "remove"; name: Uint8Array }
  /** Everything in the folder goes. */
  | { kind: "opaque" }
  /** Bookkeeping of AUFS that says nothing of the tree. */
  | { kind: "ignore" }
  /** Names nothing that could be removed. */
  | { kind: "invalid" };

const PREFIX = Buffer.from(".wh.");
const AUFS_PREFIX = Buffer.from(".wh..wh.");
const OPAQUE = Buffer.from(".wh..wh..opq");
const NONE: Whiteout = { kind: "none" };

/** What the last component of an entry's name means. */
export function parseWhiteout(name: Uint8Array): Whiteout {
  if (!startsWith(name, PREFIX)) return NONE;
  if (name.length === OPAQUE.length && startsWith(name, OPAQUE)) return { kind: "opaque" };
  if (startsWith(name, AUFS_PREFIX)) return { kind: "ignore" };
  const target = name.subarray(PREFIX.length);
  const isDots = target.every((byte) => byte === 0x2e) && target.length <= 2;
  return isDots ? { kind: "invalid" } : { kind: "remove", name: target };
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  if (bytes.length < prefix.length) return false;
  for (let at = 0; at < prefix.length; at++) if (bytes[at] !== prefix[at]) return false;
  return true;
}
