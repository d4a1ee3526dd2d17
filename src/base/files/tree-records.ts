/** Parses the records of a directory tree from a guest, in the format of guest/files/tarout.h; untrusted input. */
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";

const ENTRIES_MAX = 1_000_000;
const TOTAL_MAX_BYTES = 512 * MiB;
const RECORD_MAX_BYTES = 8 * 1024;
const RECORD = /^([0-7]{1,7}) (\d{1,16}) (-?\d{1,16})\.(\d{9}) (.*)$/s;

export interface TreeEntry {
  /** Relative, as bytes; "" is the directory itself. */
  name: string;
  /** With the file's type, as stat(2) has it. */
  mode: number;
  size: number;
  mtime_s: number;
  mtime_ns: number;
  /** Of a symlink, as bytes. */
  target: string | undefined;
}

const TYPE_MASK = 0o170000;
export const TYPE_FILE = 0o100000;
export const TYPE_DIRECTORY = 0o040000;
export const TYPE_SYMLINK = 0o120000;

export function typeOf({ mode }: Pick<TreeEntry, "mode">): number {
  return mode & TYPE_MASK;
}

/** `what` is read, for errors: "the workspace". */
export async function* readTreeRecords(
  chunks: AsyncIterable<Uint8Array>,
  { what }: { what: string },
): AsyncGenerator<TreeEntry> {
  const tooMuch = (of: string): BangerError =>
    new BangerError("limit_exceeded", `Cannot read ${what}: ${of}`);
  let pending: TreeEntry | undefined;
  let count = 0;
  for await (const text of recordsOf(chunks, tooMuch)) {
    if (pending) {
      pending.target = text;
      yield pending;
      pending = undefined;
      continue;
    }
    const entry = parseRecord(text);
    if (!entry) {
      throw new BangerError("guest", `Cannot read ${what}: invalid record from the guest`);
    }
    if (++count > ENTRIES_MAX) throw tooMuch(`more than ${ENTRIES_MAX} files`);
    if (typeOf(entry) === TYPE_SYMLINK) pending = entry;
    else yield entry;
  }
}

async function* recordsOf(
  chunks: AsyncIterable<Uint8Array>,
  tooMuch: (of: string) => BangerError,
): AsyncGenerator<string> {
  let rest = "";
  let total = 0;
  for await (const chunk of chunks) {
    total += chunk.length;
    if (total > TOTAL_MAX_BYTES) throw tooMuch(`names of more than ${TOTAL_MAX_BYTES} bytes`);
    const parts = (rest + Buffer.from(chunk).toString("latin1")).split("\0");
    rest = parts.pop() ?? "";
    if (rest.length > RECORD_MAX_BYTES) throw tooMuch("a record without an end");
    yield* parts;
  }
}

function parseRecord(text: string): TreeEntry | undefined {
  const match = RECORD.exec(text);
  const name = match?.[5]?.replace(/^\/+/, "") ?? "";
  if (!match || (name !== "" && name.split("/").some((part) => /^\.{0,2}$/.test(part)))) {
    return undefined;
  }
  return {
    name,
    mode: Number.parseInt(match[1] ?? "", 8),
    size: Number(match[2]),
    mtime_s: Number(match[3]),
    mtime_ns: Number(match[4]),
    target: undefined,
  };
}
