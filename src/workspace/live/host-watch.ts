/**
 * Watches the directories of a tree that are not ignored, one by one: a directory of dependencies or of build results can
 * have more of them than the kernel watches.
 */
import { type FSWatcher, lstatSync, readdirSync, watch } from "node:fs";
import { BangerError, errnoOf } from "#base/error.ts";
import { isGitDirectory } from "#workspace/git/index-file.ts";
import { joinName } from "#workspace/names.ts";

const WATCHES_MAX = 60_000;

export interface HostWatchOptions {
  top: string;
  /** Of directories, those that are not mirrored. */
  hidden(names: readonly string[]): Promise<ReadonlySet<string>>;
  onChange(): void;
}

export class HostWatch implements Disposable {
  readonly #options: HostWatchOptions;
  readonly #watched = new Map<string, { watcher: FSWatcher; ino: bigint }>();
  /** Directories whose entries may have changed. */
  #dirty = new Set<string>([""]);

  constructor(options: HostWatchOptions) {
    this.#options = options;
  }

  /** Watches new directories, and those below them; true if there were any, in which files may have been missed. */
  async follow(): Promise<boolean> {
    let level = this.#watched.has("") || this.#add("") ? [...this.#dirty] : [];
    this.#dirty = new Set();
    let isMore = false;
    while (level.length > 0) {
      const names = level.flatMap((name) => this.#newBelow(name));
      const hidden = await this.#options.hidden(names);
      level = names.filter((name) => !hidden.has(name) && this.#add(name));
      isMore ||= level.length > 0;
    }
    return isMore;
  }

  [Symbol.dispose](): void {
    for (const { watcher } of this.#watched.values()) watcher.close();
    this.#watched.clear();
  }

  #newBelow(folder: string): string[] {
    return this.#foldersIn(folder)
      .filter(({ name, ino }) => this.#watched.get(name)?.ino !== ino)
      .map(({ name }) => name);
  }

  #foldersIn(folder: string): { name: string; ino: bigint }[] {
    const names = this.#entries(folder);
    return names.flatMap((base) => {
      const name = joinName(folder, base);
      const info = isGitDirectory(base) ? undefined : this.#lstat(name);
      return info?.isDirectory() ? [{ name, ino: info.ino }] : [];
    });
  }

  #entries(folder: string): string[] {
    try {
      const all = readdirSync(this.#path(folder), { withFileTypes: true });
      return all
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => Buffer.from(name).toString("latin1"));
    } catch {
      // Gone, or unreadable: then its files are not mirrored either.
      this.#drop(folder);
      return [];
    }
  }

  #add(name: string): boolean {
    this.#drop(name);
    const info = this.#lstat(name);
    if (!info) return false;
    if (this.#watched.size >= WATCHES_MAX) throw tooMany();
    try {
      const watcher = watch(this.#path(name), () => this.#changed(name));
      watcher.on("error", () => this.#changed(name));
      this.#watched.set(name, { watcher, ino: info.ino });
      return true;
    } catch (error) {
      if (errnoOf(error) === "ENOSPC" || errnoOf(error) === "EMFILE") throw tooMany();
      return false;
    }
  }

  #drop(name: string): void {
    this.#watched.get(name)?.watcher.close();
    this.#watched.delete(name);
  }

  #changed(name: string): void {
    this.#dirty.add(name);
    this.#options.onChange();
  }

  #lstat(name: string) {
    try {
      return lstatSync(this.#path(name), { bigint: true });
    } catch {
      return undefined;
    }
  }

  #path(name: string): string {
    return name === "" ? this.#options.top : `${this.#options.top}/${Buffer.from(name, "latin1")}`;
  }
}

function tooMany(): BangerError {
  return new BangerError("limit_exceeded", "Cannot watch the directory: too many directories", {
    hint: "Raise the limit with: sudo sysctl fs.inotify.max_user_watches=1048576",
  });
}
