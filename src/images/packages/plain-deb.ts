/** Reads Debian packages whose members are not compressed, as deb.ts writes them. */
import { closeSync, openSync } from "node:fs";
import type { TarEntry } from "#tar/entry.ts";
import { TarReader } from "#tar/reader.ts";
import { broken, membersOf, readMember } from "./deb.ts";

const CONTROL_MAX_BYTES = 16 * 1024 * 1024;

export interface ControlFile {
  name: string;
  bytes: Buffer;
  mode: number;
  mtime_s: number;
}

export interface MemberHandler {
  entry: (entry: TarEntry) => void;
  data?: (bytes: Uint8Array) => void;
  end?: () => void;
}

/** Passes a member's archive to `handler`, with a turn for whoever takes the result after each chunk. */
export function* readArchive(
  path: string,
  name: "control.tar" | "data.tar",
  handler: MemberHandler,
): Generator<void> {
  const fd = openSync(path, "r");
  try {
    const member = membersOf(fd).find((each) => each.name === name);
    if (!member) throw broken(`no member "${name}"`);
    const reader = new TarReader({
      entry: handler.entry,
      data: handler.data ?? (() => {}),
      end: handler.end ?? (() => {}),
    });
    for (const chunk of readMember(fd, member)) {
      reader.push(chunk);
      yield;
    }
    reader.finish();
  } finally {
    closeSync(fd);
  }
}

/** The files of the package's control archive but for the control file itself. */
export function controlFiles(path: string): ControlFile[] {
  const files: ControlFile[] = [];
  let open: (ControlFile & { parts: Buffer[] }) | undefined;
  let left = CONTROL_MAX_BYTES;
  const turns = readArchive(path, "control.tar", {
    entry({ name, type, mode, mtime_s }) {
      const own = Buffer.from(name).toString("latin1").replace(/^\.\//, "").replace(/\/$/, "");
      open = undefined;
      if (type === "directory" && (own === "" || own === ".")) return;
      if (type !== "file" || !/^[\w][\w.+-]*$/.test(own)) throw broken(`control file "${own}"`);
      open = { name: own, bytes: Buffer.alloc(0), mode, mtime_s, parts: [] };
      if (own !== "control") files.push(open);
    },
    data(bytes) {
      left -= bytes.length;
      if (left < 0) throw broken("control files too large");
      open?.parts.push(Buffer.from(bytes));
    },
    end() {
      if (open) open.bytes = Buffer.concat(open.parts);
    },
  });
  while (!turns.next().done) {
    // Its files are few and small.
  }
  return files;
}
