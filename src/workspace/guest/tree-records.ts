/** Parses the records of a directory tree from a guest; untrusted input. */
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { parentOf } from "#workspace/names.ts";
import { type GuestPort, type TreeEntry, TYPE_DIRECTORY, TYPE_SYMLINK, typeOf } from "./port.ts";

const ENTRIES_MAX = 1_000_000;
const TOTAL_MAX_BYTES = 512 * MiB;
const RECORD_MAX_BYTES = 8 * 1024;
const RECORD = /^([0-7]{1,7}) (\d{1,16}) (-?\d{1,16})\.(\d{9}) (.*)$/s;

/** By name, "" for the directory itself; undefined if there is no such directory. */
export async function readTree(
  guest: GuestPort,
  path: string,
): Promise<Map<string, TreeEntry> | undefined> {
  const chunks = await guest.tree(path);
  if (!chunks) return undefined;
  const entries = new Map<string, TreeEntry>();
  let pending: TreeEntry | undefined;
  for await (const text of recordsOf(chunks)) {
    if (pending) {
      pending.target = text;
      pending = undefined;
      continue;
    }
    const entry = parseRecord(text);
    checkPlace(entries, entry);
    if (entries.size >= ENTRIES_MAX) throw tooMany(`more than ${ENTRIES_MAX} files`);
    entries.set(entry.name, entry);
    if (typeOf(entry) === TYPE_SYMLINK) pending = entry;
  }
  return entries;
}

async function* recordsOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  let total = 0;
  for await (const chunk of chunks) {
    total += chunk.length;
    if (total > TOTAL_MAX_BYTES) throw tooMany(`names of more than ${TOTAL_MAX_BYTES} bytes`);
    const parts = (rest + Buffer.from(chunk).toString("latin1")).split("\0");
    rest = parts.pop() ?? "";
    if (rest.length > RECORD_MAX_BYTES) throw tooMany("a record without an end");
    yield* parts;
  }
}

/** Each name once, and only in a directory: whoever writes such files on the host meets no symlink on the way. */
function checkPlace(entries: ReadonlyMap<string, TreeEntry>, { name }: TreeEntry): void {
  const parent = name === "" ? undefined : entries.get(parentOf(name));
  const isPlaced = name === "" || (parent && typeOf(parent) === TYPE_DIRECTORY);
  if (!entries.has(name) && isPlaced) return;
  throw new BangerError("guest", "Cannot read the workspace: inconsistent records from the guest");
}

function parseRecord(text: string): TreeEntry {
  const match = RECORD.exec(text);
  const name = match?.[5]?.replace(/^\/+/, "") ?? "";
  if (!match || (name !== "" && name.split("/").some((part) => /^\.{0,2}$/.test(part)))) {
    throw new BangerError("guest", "Cannot read the workspace: invalid record from the guest");
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

function tooMany(what: string): BangerError {
  return new BangerError("limit_exceeded", `Cannot read the workspace: ${what}`);
}
