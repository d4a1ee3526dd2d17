/** The host's side of a mirror: which files it has, and which names it does not mirror. */
import { rmSync } from "node:fs";
import { type TreeEntry, TYPE_DIRECTORY, TYPE_FILE, typeOf } from "#base/files/tree-records.ts";
import { git, gitError, gitOk } from "#workspace/git/git.ts";
import { isGitDirectory } from "#workspace/git/index-file.ts";
import { isRepositoryAt, openRepository, type Repository } from "#workspace/git/source.ts";
import { isMark } from "#workspace/guest/mark.ts";
import { HostView, listFolder, listHostFiles } from "#workspace/in/host-files.ts";
import { looksSecret } from "#workspace/in/secrets.ts";
import { walkFolder } from "#workspace/in/walk-folder.ts";
import { joinName, parentOf, splitNul } from "#workspace/names.ts";
import { isLeftover, isStaging } from "#workspace/staging.ts";
import { FILE_MAX_BYTES } from "./stage.ts";

const CHOICE = { includeIgnored: [], includeSecrets: false };
const CACHED_MAX = 500_000;

export interface HostScan {
  files: Map<string, TreeEntry>;
  /** Not mirrored: too large, or secret by name. */
  tooLarge: string[];
  secrets: string[];
}

interface Part {
  /** Relative to the top, "" for itself. */
  name: string;
  repository: Repository | undefined;
  tracked: ReadonlySet<string>;
  /** Of submodules, checked out or not. */
  submodules: ReadonlySet<string>;
}

export class HostSide {
  readonly top: string;
  readonly #signal: AbortSignal | undefined;
  readonly #repositories = new Map<string, Repository>();
  #parts: Part[] = [];
  #files = new Map<string, TreeEntry>();
  /** Whether a name is ignored, as long as the rules stay. */
  #ignored = new Map<string, boolean>();
  #rules = "";

  constructor(top: string, signal?: AbortSignal) {
    this.top = top;
    this.#signal = signal;
  }

  /** Below the top, in the last scan. */
  get repositories(): ReadonlySet<string> {
    return new Set(this.#parts.filter(({ repository }) => repository).map(({ name }) => name));
  }

  async scan(): Promise<HostScan> {
    const scan: HostScan = { files: new Map(), tooLarge: [], secrets: [] };
    this.#parts = [];
    await this.#scanPart("", scan);
    this.#files = scan.files;
    const rules = [...scan.files.values()]
      .filter(({ name }) => /(^|\/)\.gitignore$/.test(name))
      .map(({ name, size, mtime_s, mtime_ns }) => `${name} ${size} ${mtime_s} ${mtime_ns}`);
    const tracked = this.#parts.map((part) => `${part.name} ${part.tracked.size}`);
    const all = [...rules, ...tracked].join("\n");
    if (all !== this.#rules || this.#ignored.size > CACHED_MAX) this.#ignored = new Map();
    this.#rules = all;
    return scan;
  }

  /** Names without a file in the last scan that are not mirrored, whatever they are in the machine. */
  async hidden(names: readonly string[]): Promise<Set<string>> {
    const hidden = new Set<string>();
    const unknown = new Map<Part, string[]>();
    const view = new HostView(this.top);
    for (const name of names) {
      if (this.#files.has(name)) continue;
      const known = this.#ignored.get(name);
      const verdict = known ?? this.#byName(name, view);
      if (verdict === true) hidden.add(name);
      if (typeof verdict !== "object") continue;
      unknown.set(verdict, [...(unknown.get(verdict) ?? []), name]);
    }
    for (const [part, list] of unknown) {
      const ignored = await this.#ask(part, list);
      for (const name of list) this.#ignored.set(name, ignored.has(name));
      for (const name of ignored) hidden.add(name);
    }
    // What is on the disk, but not in the scan: too large, ignored, no file.
    for (const name of names) {
      if (this.#files.has(name) || hidden.has(name)) continue;
      const entry = view.lstat(name);
      if (entry && typeOf(entry) !== TYPE_DIRECTORY) hidden.add(name);
    }
    return hidden;
  }

  /** True: hidden; false: not; else git has to be asked in this part. */
  #byName(name: string, view: HostView): boolean | Part {
    const parts = name.split("/");
    if (parts.some((part) => isGitDirectory(part) || /^\.{0,2}$/.test(part)) || isMark(name))
      return true;
    if (isStaging(parts.at(-1) ?? "")) return true;
    const part = this.#partOf(name);
    if (!part?.repository) return looksSecret(name);
    const own = part.name === "" ? name : name.slice(part.name.length + 1);
    if (part.tracked.has(own)) return false;
    if (looksSecret(own)) return true;
    for (let at = parentOf(own); at !== ""; at = parentOf(at)) {
      if (part.submodules.has(at)) return true;
      const full = joinName(part.name, at);
      const entry = view.lstat(full);
      // git refuses paths behind a symlink. One that is mirrored itself is in the way of what is below it.
      if (entry && typeOf(entry) !== TYPE_DIRECTORY) return !this.#files.has(full);
    }
    return part;
  }

  #partOf(name: string): Part | undefined {
    let found: Part | undefined;
    for (const part of this.#parts) {
      const isIn = part.name === "" || name.startsWith(`${part.name}/`);
      if (isIn && (!found || part.name.length > found.name.length)) found = part;
    }
    return found;
  }

  async #ask({ name: root, repository }: Part, names: readonly string[]): Promise<Set<string>> {
    if (!repository) return new Set();
    const own = (name: string): string => (root === "" ? name : name.slice(root.length + 1));
    // The command knows no literal paths; behind a dot nothing is taken for a pattern.
    const stdin = names.map((name) => `./${own(name)}\0`).join("");
    const env = { GIT_LITERAL_PATHSPECS: "0" };
    const asked = await git(repository.git, ["check-ignore", "-z", "--stdin"], { stdin, env });
    if (asked.exitCode > 1) throw gitError("Cannot tell which files git ignores", asked);
    return new Set(splitNul(asked.stdout).map((name) => joinName(root, name.slice(2))));
  }

  async #scanPart(name: string, scan: HostScan): Promise<void> {
    const view = new HostView(this.top);
    const top = name === "" ? this.top : view.path(name);
    if (!isRepositoryAt(top)) {
      const found = await listFolder(top, CHOICE, walkFolder);
      this.#parts.push({ name, repository: undefined, tracked: new Set(), submodules: new Set() });
      this.#add(scan, name, found.files);
      this.#removeLeftovers(name, found.leftovers);
      scan.secrets.push(...found.secrets);
      return;
    }
    const repository = this.#repositories.get(top) ?? (await openRepository(top, this.#signal));
    this.#repositories.set(top, repository);
    const index = await this.#indexOf(repository);
    const found = await listHostFiles(repository, index, CHOICE);
    const submodules = index.filter(({ mode }) => mode === 0o160000);
    this.#parts.push({
      ...{ name, repository },
      tracked: new Set(index.map((entry) => entry.name)),
      submodules: new Set(submodules.map((entry) => entry.name)),
    });
    this.#add(scan, name, found.files);
    this.#removeLeftovers(name, found.leftovers);
    scan.secrets.push(...found.secrets.map((file) => joinName(name, file)));
    for (const child of found.nested) await this.#scanPart(joinName(name, child), scan);
  }

  #add(scan: HostScan, root: string, files: readonly TreeEntry[]): void {
    for (const file of files) {
      const name = joinName(root, file.name);
      if (name.split("/").some((part) => isGitDirectory(part)) || isMark(name)) continue;
      if (typeOf(file) === TYPE_FILE && file.size > FILE_MAX_BYTES) scan.tooLarge.push(name);
      else scan.files.set(name, { ...file, name });
    }
  }

  #removeLeftovers(root: string, names: readonly string[]): void {
    const view = new HostView(this.top);
    for (const name of names) {
      const isOver = isLeftover(name.slice(name.lastIndexOf("/") + 1));
      if (isOver) rmSync(view.bytes(joinName(root, name)), { force: true });
    }
  }

  async #indexOf({ git: own, top }: Repository): Promise<{ name: string; mode: number }[]> {
    const what = `Cannot read the index of "${top}"`;
    const text = await gitOk(own, ["ls-files", "-z", "--stage"], { what });
    return splitNul(text).map((line) => {
      const tab = line.indexOf("\t");
      return { name: line.slice(tab + 1), mode: Number.parseInt(line.slice(0, 6), 8) };
    });
  }
}
