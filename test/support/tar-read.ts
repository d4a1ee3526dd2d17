/** Parses tar archives into plain values. */
import { BangerError } from "#base/error.ts";
import type { TarEntry } from "#tar/entry.ts";
import { TarReader } from "#tar/reader.ts";
import { makeTar, type TarSpec } from "./tar-build.ts";

export interface Seen extends Omit<TarEntry, "name" | "linkName" | "xattrs"> {
  name: string;
  linkName: string;
  content: string;
  xattrs: Record<string, string>;
}

/** All entries of an archive, given in chunks. Names and content as one character for each byte. */
export function read(archive: Uint8Array, chunk_bytes = 1 << 20): Seen[] {
  const seen: Seen[] = [];
  let content: Buffer = Buffer.alloc(0);
  const reader = new TarReader({
    entry(entry) {
      content = Buffer.alloc(Math.min(entry.size, 1 << 20));
      seen.push({
        ...entry,
        name: latin1(entry.name),
        linkName: latin1(entry.linkName),
        content: "",
        xattrs: Object.fromEntries(
          entry.xattrs.map(({ name, value }) => [latin1(name), latin1(value)]),
        ),
      });
    },
    data: (bytes, offset) => content.set(bytes, offset),
    end() {
      const last = seen.at(-1);
      if (last) last.content = latin1(content);
    },
  });
  for (let at = 0; at < archive.length; at += chunk_bytes) {
    reader.push(archive.subarray(at, at + chunk_bytes));
  }
  reader.finish();
  return seen;
}

/** The archive of one entry, read. */
export function readOne(spec: TarSpec): Seen {
  const [seen] = read(makeTar([spec]));
  if (!seen) throw new Error("Expected an entry");
  return seen;
}

export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

/** What an archive is refused with. */
export function errorOf(archive: Uint8Array): BangerError {
  try {
    read(archive);
  } catch (error) {
    if (error instanceof BangerError) return error;
    throw error;
  }
  throw new Error("Expected an error, and there was none");
}
