/** What was requested of a guest. Its archive is checked against it: nothing else is written to the host. */
import { BangerError } from "#base/error.ts";
import type { FileKind } from "#guest/files.ts";
import type { TarEntryType } from "#tar/entry.ts";

export interface Expected {
  /** What the file or directory is called on the host; "." is the target directory itself. */
  name: string;
  kind: FileKind;
}

/** Kinds that are not here are never made on the host. */
const types: Readonly<Partial<Record<FileKind, TarEntryType>>> = {
  file: "file",
  symlink: "symlink",
  directory: "directory",
};

const MADE: ReadonlySet<TarEntryType> = new Set(["file", "link", "symlink", "directory"]);

/** Admits the entry that was asked for and, if that is a directory, what is below it. */
export class ExpectedEntries {
  readonly #kind: FileKind;
  /** As latin1 text, one character for each byte; undefined: anything in the target directory. */
  readonly #name: string | undefined;
  #entries = 0;

  constructor({ name, kind }: Expected) {
    this.#kind = kind;
    this.#name =
      name === "." && kind === "directory" ? undefined : Buffer.from(name).toString("latin1");
  }

  get isSingle(): boolean {
    return this.#kind !== "directory";
  }

  /** `parts`: the entry's name; `shown`: the same for people. */
  admit(type: TarEntryType, { parts, shown }: { parts: readonly string[]; shown: string }): void {
    this.#entries++;
    this.admitName(parts, shown);
    const isTop = parts.length === 1 && this.#name !== undefined;
    if (this.isSingle && (!isTop || this.#entries > 1)) throw unasked(shown);
    const wanted = types[this.#kind];
    // What is never made may come as any of what is never made.
    const isRight = wanted === undefined ? !MADE.has(type) : type === wanted;
    if (isTop && !isRight) {
      throw mismatch(`${shown} was said to be a ${this.#kind}, and comes as another type of file`);
    }
  }

  admitName(parts: readonly string[], shown: string): void {
    if (this.#name !== undefined && parts[0] !== this.#name) throw unasked(shown);
  }

  /** Fails when the archive is over and what was asked for has not come. */
  finish(): void {
    if (this.#entries === 0 && this.#name !== undefined) {
      throw mismatch("what was asked for is not in it");
    }
  }
}

function unasked(shown: string): BangerError {
  return mismatch(`${shown} was not asked for`);
}

function mismatch(detail: string): BangerError {
  return new BangerError("guest", `Cannot extract the guest's archive: ${detail}`);
}
