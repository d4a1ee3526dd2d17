/** The machine's side of a mirror: its files as they were last seen, kept up to date by what its agent reports. */
import {
  type TreeEntry,
  TYPE_DIRECTORY,
  TYPE_FILE,
  TYPE_SYMLINK,
  typeOf,
} from "#base/files/tree-records.ts";
import { MiB } from "#base/size.ts";
import { isGitDirectory } from "#workspace/git/index-file.ts";
import { isMark, isRepositoryTree, markItem, marksIn } from "#workspace/guest/mark.ts";
import { readTree } from "#workspace/guest/tree-records.ts";
import { tarOf } from "#workspace/in/tar-out.ts";
import { parentOf } from "#workspace/names.ts";
import { signatureOf } from "#workspace/record.ts";
import type { Staged } from "./host-tree.ts";
import type { GuestChange, LivePort } from "./ports.ts";
import { dropStaged, FILE_MAX_BYTES, stageFiles } from "./stage.ts";

/** With more changes than these, all names and attributes are read instead of the files. */
const CHANGES_MAX = 256;
const CHANGES_MAX_BYTES = 8 * MiB;

export interface GuestSideOptions {
  path: string;
  /** A scratch directory. */
  folder: string;
  /** Repositories of the host, whose files are mirrored; those that only the machine has are not. */
  repositories: () => ReadonlySet<string>;
}

export class GuestSide {
  readonly #port: LivePort;
  readonly #options: GuestSideOptions;
  #files = new Map<string, TreeEntry>();
  #foreign = new Set<string>();
  #changed = new Set<string>();
  #isStale = true;
  #marks: ReturnType<typeof marksIn> = { names: [], marks: new Set() };
  #isRepository = false;
  /** Content that came with the last update. */
  readonly staged = new Map<string, Staged>();

  constructor(port: LivePort, options: GuestSideOptions) {
    this.#port = port;
    this.#options = options;
  }

  get files(): ReadonlyMap<string, TreeEntry> {
    return this.#files;
  }

  /** Writes a new mark, after all that was sent, and removes older ones when `keep` is done. */
  async mark(mark: string, keep: () => void): Promise<void> {
    const { path } = this.#options;
    const item = markItem(mark, this.#isRepository);
    await this.#port.extract(path, tarOf([item]));
    keep();
    const old = this.#marks.names;
    this.#marks = {
      names: [item.kind === "host" ? item.entry.name : item.name],
      marks: new Set([mark]),
    };
    for (const name of old) await this.#port.remove(path, name);
  }

  /** Whether it had this mark when all of it was last read. */
  hasMark(mark: string): boolean {
    return this.#marks.marks.has(mark);
  }

  /** All of it is read again by the next update. */
  invalidate(): void {
    this.#isStale = true;
    this.#changed.clear();
  }

  /** False if it is about nothing that is mirrored. */
  note({ kind, name, isFolder }: GuestChange): boolean {
    if (kind === "ready" || (name !== undefined && isMark(name))) return false;
    const parts = name?.split("/") ?? [];
    const git = parts.findIndex((part) => isGitDirectory(part));
    // A new repository is none of the host's: what is in it is left out.
    const isNewRepository = git >= 0 && git === parts.length - 1 && kind !== "attributes";
    if (git >= 0 && !isNewRepository) return false;
    if (name === undefined || kind === "overflow" || isNewRepository) this.invalidate();
    else if (!this.#isStale) this.#add(name, { kind, isFolder });
    return true;
  }

  /** `isHidden`: names that are not mirrored, of which no content is read. */
  async update(
    isHidden: (names: readonly string[]) => Promise<ReadonlySet<string>>,
  ): Promise<void> {
    const { path, folder } = this.#options;
    this.dropStaged();
    const changed = [...this.#changed];
    const known_bytes = changed.reduce((sum, name) => sum + (this.#files.get(name)?.size ?? 0), 0);
    if (changed.length > CHANGES_MAX || known_bytes > CHANGES_MAX_BYTES) this.invalidate();
    if (this.#isStale) {
      this.#isStale = false;
      this.#changed.clear();
      return this.#read(await readTree(this.#port, path));
    }
    this.#changed = new Set();
    const hidden = await isHidden(changed);
    const names = changed.filter((name) => !hidden.has(name) && !this.#isForeign(name));
    if (names.length === 0) return;
    try {
      const isNew = (entry: TreeEntry): boolean => {
        const known = this.#files.get(entry.name);
        return (
          entry.size <= FILE_MAX_BYTES && !(known && signatureOf(known) === signatureOf(entry))
        );
      };
      const got = await stageFiles(this.#port, { path, names, folder, wants: isNew });
      for (const name of names) this.#take(name, got.get(name));
    } catch (error) {
      this.invalidate();
      throw error;
    }
  }

  dropStaged(): void {
    dropStaged(this.staged.values());
    this.staged.clear();
  }

  /** What we have changed there ourselves. */
  set(name: string, entry: TreeEntry | undefined): void {
    if (entry) this.#files.set(name, entry);
    else this.#files.delete(name);
  }

  #add(name: string, { kind, isFolder }: Pick<GuestChange, "kind" | "isFolder">): void {
    if (!isFolder) this.#changed.add(name);
    else if (kind === "removed" || kind === "created") {
      for (const known of this.#files.keys())
        if (known.startsWith(`${name}/`)) this.#changed.add(known);
      this.#changed.add(name);
    }
    if (this.#changed.size > CHANGES_MAX) this.invalidate();
  }

  #take(name: string, got: Staged | undefined): void {
    this.set(name, got?.entry);
    if (got && (got.path !== undefined || typeOf(got.entry) === TYPE_SYMLINK))
      this.staged.set(name, got);
  }

  #read(tree: ReadonlyMap<string, TreeEntry> | undefined): void {
    const known = this.#options.repositories();
    this.#files = new Map();
    this.#foreign = new Set();
    for (const name of tree?.keys() ?? []) {
      const slash = name.lastIndexOf("/");
      if (isGitDirectory(name.slice(slash + 1)) && slash > 0 && !known.has(parentOf(name)))
        this.#foreign.add(parentOf(name));
    }
    this.#marks = marksIn(tree ?? this.#files);
    this.#isRepository = isRepositoryTree(tree ?? this.#files);
    const skipped = new Set<string>();
    // A directory is read before what is in it.
    for (const [name, entry] of tree ?? []) {
      const base = name.slice(name.lastIndexOf("/") + 1);
      const isSkipped =
        skipped.has(parentOf(name)) || isGitDirectory(base) || this.#foreign.has(name);
      const type = typeOf(entry);
      if (type === TYPE_DIRECTORY && isSkipped) skipped.add(name);
      const isMirrored = type === TYPE_FILE || type === TYPE_SYMLINK;
      if (name !== "" && isMirrored && !isSkipped && !isMark(name)) this.#files.set(name, entry);
    }
  }

  #isForeign(name: string): boolean {
    for (let at = name; at !== ""; at = parentOf(at)) if (this.#foreign.has(at)) return true;
    return false;
  }
}
