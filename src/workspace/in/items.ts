/** Entries of an archive for a machine. */
import { statSync } from "node:fs";
import type { TreeEntry } from "#workspace/guest/port.ts";
import type { TarItem } from "./tar-out.ts";

/** A regular file of the host. */
export function hostItem(path: string, name: string): TarItem {
  const info = statSync(path, { bigint: true });
  const entry: TreeEntry = {
    name,
    mode: 0o100644,
    size: Number(info.size),
    mtime_s: Number(info.mtimeNs / 1_000_000_000n),
    mtime_ns: Number(info.mtimeNs % 1_000_000_000n),
    target: undefined,
  };
  return { kind: "host", path, entry };
}

/** `text`: as bytes. */
export function textItem(name: string, text: string): TarItem {
  return { kind: "bytes", name, bytes: Buffer.from(text, "latin1") };
}
