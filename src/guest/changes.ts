/** What changes below a path of the machine; guest/files/changes.h says what the agent prints. */
import { BangerError } from "#base/error.ts";
import type { Connection } from "./connection.ts";
import { Fields } from "./fields.ts";
import { openProgram, type ProgramOptions, programOutput } from "./program.ts";
import { Change, Tag } from "./protocol.ts";

const FIELD_HEADER_BYTES = 6;
/** The guest's own are shorter: a path, a name and two numbers. */
const MAX_ENTRY_BYTES = 8192;
const MAX_PATH_BYTES = 4096 + 256;

/** `ready`: from here on nothing is missed; `overflow`: something was. */
type ChangeKind = keyof typeof Change;
const changeKinds = new Map(
  Object.entries(Change).map(([kind, code]) => [code as number, kind as ChangeKind]),
);

export interface PathChange {
  kind: ChangeKind;
  path: string;
  isFolder: boolean;
}

export async function* watchPath(
  connection: Connection,
  path: string,
  options: ProgramOptions & { recursive?: boolean } = {},
): AsyncGenerator<PathChange> {
  const argv = ["watch", path, options.recursive ? "recursive" : ""];
  const output = programOutput(
    await openProgram(connection, argv, { ...options, feature: "watch" }),
  );
  let kept = Buffer.alloc(0);
  try {
    for await (const chunk of output) {
      kept = Buffer.concat([kept, chunk as Uint8Array]);
      let at = 0;
      while (kept.length - at >= FIELD_HEADER_BYTES) {
        const length = kept.readUInt32LE(at + 2);
        if (kept.readUInt16LE(at) !== Tag.entry || length > MAX_ENTRY_BYTES) throw malformed();
        if (kept.length - at < FIELD_HEADER_BYTES + length) break;
        const entry = kept.subarray(at + FIELD_HEADER_BYTES, at + FIELD_HEADER_BYTES + length);
        at += FIELD_HEADER_BYTES + length;
        yield decodeChange(Fields.parse(entry), path);
      }
      kept = kept.subarray(at);
    }
  } finally {
    output.destroy();
  }
}

function decodeChange(fields: Fields, watched: string): PathChange {
  const kind = changeKinds.get(fields.number(Tag.kind) ?? -1);
  if (!kind || !isBelow(fields.bytes(Tag.path) ?? new Uint8Array(0), watched)) throw malformed();
  return {
    kind,
    path: fields.text(Tag.path, MAX_PATH_BYTES) ?? "",
    isFolder: fields.has(Tag.fileMode),
  };
}

/** Clients act on what has changed: a guest names nothing but what they watch. */
function isBelow(path: Uint8Array, watched: string): boolean {
  const root = watched.replace(/\/+$/, "");
  const text = Buffer.from(path).toString("latin1");
  const prefix = Buffer.from(root).toString("latin1");
  if (text.split("/").includes("..") && !watched.split("/").includes("..")) return false;
  const rest = text.slice(prefix.length);
  return text.startsWith(prefix) && (rest === "" || rest.startsWith("/"));
}

function malformed(): BangerError {
  return new BangerError("guest", "protocol error from the guest agent: malformed change event");
}
