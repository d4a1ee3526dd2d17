/** The target of COPY and ADD: a layer on top of the stage's files. */
import { posix } from "node:path";
import { BangerError } from "#base/error.ts";
import type { LayerFile } from "#builds/layer-file.ts";
import { parseWhiteout } from "#oci/whiteout.ts";
import type { WrittenEntry } from "#tar/write.ts";
import { bytesOf } from "./source.ts";
import type { StageView } from "./view.ts";

export interface Owner {
  uid: number;
  gid: number;
}

const ENTRIES_MAX = 2_000_000;
const FOLDER_MODE = 0o755;
const NO_ATTRIBUTES = { mode: 0o600, uid: 0, gid: 0, size: 0, mtime_s: 0, mtime_ns: 0 };

type Data = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
/** `name` is replaced by the target path. */
export type PutEntry = Omit<WrittenEntry, "name">;

/** Paths are bytes in strings, relative to the root, and have no symbolic link above their last name. */
export class LayerTarget {
  readonly #layer: LayerFile;
  /** The stage's files, including those of this step. */
  readonly view: StageView;
  readonly #owner: Owner | undefined;
  #count = 0;

  constructor(layer: LayerFile, view: StageView, { owner }: { owner: Owner | undefined }) {
    this.#layer = layer;
    this.view = view.begin();
    this.#owner = owner;
  }

  /** Creates the missing directories of a path. `invalid_argument` if a file is in the way. */
  folders(path: string, mode = FOLDER_MODE): void {
    const parts = path.split("/").filter(Boolean);
    for (let depth = 1; depth <= parts.length; depth++) {
      const place = parts.slice(0, depth).join("/");
      const kind = this.view.kindAt(place);
      if (kind === "directory") continue;
      if (kind !== undefined) {
        throw new BangerError("invalid_argument", `"/${shownPath(place)}" is not a directory`);
      }
      const owner = this.#owner ?? { uid: 0, gid: 0 };
      const time = { mtime_s: Math.floor(Date.now() / 1000), mtime_ns: 0 };
      this.header(place, { type: "directory", mode, ...owner, size: 0, ...time });
    }
  }

  /** Without data; `data` and `end` add it. */
  header(path: string, entry: PutEntry): void {
    this.#layer.header(this.#noted(path, entry));
  }

  data(bytes: Uint8Array): void {
    this.#layer.data(bytes);
  }

  end(size: number): void {
    this.#layer.pad(size);
  }

  async file(path: string, entry: PutEntry, data: Data): Promise<void> {
    await this.#layer.entry(this.#noted(path, entry), data);
  }

  /** Removes `path` recursively, with a whiteout. */
  remove(path: string): void {
    const folder = posix.dirname(path) === "." ? "" : `${posix.dirname(path)}/`;
    const name = bytesOf(`${folder}.wh.${posix.basename(path)}`);
    const entry: WrittenEntry = { type: "file", ...NO_ATTRIBUTES, name };
    this.#layer.header(entry);
    this.view.note(entry);
  }

  #noted(path: string, entry: PutEntry): WrittenEntry {
    const named = { ...entry, name: bytesOf(path) };
    if (++this.#count > ENTRIES_MAX) {
      throw new BangerError("limit_exceeded", `too many files to copy: more than ${ENTRIES_MAX}`);
    }
    if (parseWhiteout(bytesOf(posix.basename(path))).kind !== "none") {
      throw new BangerError(
        "unsupported",
        `Cannot copy "/${shownPath(path)}": names that start with .wh. mark deleted files in image layers`,
      );
    }
    this.view.note(named);
    return named;
  }
}

/** Decodes a path of bytes, for messages. */
export function shownPath(path: string): string {
  return Buffer.from(path, "latin1").toString("utf8");
}
