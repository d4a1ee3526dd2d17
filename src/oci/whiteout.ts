/**
 * Whiteouts, by which a layer deletes files of lower layers: ".wh.NAME" deletes NAME in the same directory,
 * ".wh..wh..opq" the whole content of its directory. Source: OCI image specification, layer.md ("Whiteouts").
 */

export type Whiteout =
  | { kind: "none" }
  /** Deletes the named entry of the same directory. */
  | { kind: "remove"; name: Uint8Array }
  /** Deletes the content of the directory. */
  | { kind: "opaque" }
  /** AUFS metadata, which is ignored. */
  | { kind: "ignore" }
  /** A whiteout without a valid name. */
  | { kind: "invalid" };

const PREFIX = Buffer.from(".wh.");
const AUFS_PREFIX = Buffer.from(".wh..wh.");
const OPAQUE = Buffer.from(".wh..wh..opq");
const NONE: Whiteout = { kind: "none" };

/** Parses the last component of an entry's name. */
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
