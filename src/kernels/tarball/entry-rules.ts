/**
 * What the archive of a kernel may hold: plain files, folders, and links that stay inside. Every
 * name is looked at before anything of it is written, and an entry is only ever put below folders
 * that were made here, so no name and no link can lead anywhere else.
 */
import { BangerError, type ErrorCode } from "#base/error.ts";
import { hasControls } from "#base/printable.ts";
import { shown, type TarEntry } from "#tar/entry.ts";

const MAX_PATH_BYTES = 1000;
const MAX_NAME_BYTES = 255;
const SPECIAL_BITS = 0o7000;
/** Linux has modules whose names differ in nothing else, such as xt_mark and xt_MARK. */
const MODULE = /^modules\/.+\.ko(\.\w+)?$/;

export type Placed = "directory" | "implied" | "file" | "link" | "symlink";

export interface Step {
  kind: "directory" | "file" | "link" | "symlink";
  /** Path inside the archive, "boot/virtio_blk.ko"; empty for its root. */
  path: string;
  /** Folders above it that no entry has named, outermost first. */
  implied: string[];
  /** Of a hard link: the path that it shares; of a symbolic one: its text. */
  target: string;
}

/** Keeps what the archive has so far, and says what to do for each entry, or refuses it. */
export class EntryRules {
  /** By path. */
  readonly #placed = new Map<string, Placed>();
  /** By path without the difference of upper and lower case. */
  readonly #folded = new Map<string, string>();

  /** `integrity` with the entry's name. */
  check(entry: TarEntry): Step {
    const name = shown(entry.name);
    const path = plainPath(entry.name, name);
    if ((entry.mode & SPECIAL_BITS) !== 0) {
      throw refused(name, "it has set-user-ID, set-group-ID or sticky bits");
    }
    if (entry.xattrs.some((xattr) => Buffer.from(xattr.name).toString().startsWith("security."))) {
      throw refused(name, "it has security attributes");
    }
    const kind = kindOf(entry, name);
    if (path === "" && kind !== "directory")
      throw refused(name, "it would replace the root directory");
    const implied = this.#placeParents(path, name);
    if (path !== "") this.#place(path, kind, name);
    const target = this.#targetOf(entry, path, name);
    return { kind, path, implied, target };
  }

  has(path: string): Placed | undefined {
    return this.#placed.get(path);
  }

  #placeParents(path: string, name: string): string[] {
    const parts = path.split("/");
    const implied: string[] = [];
    for (let count = 1; count < parts.length; count++) {
      const parent = parts.slice(0, count).join("/");
      const what = this.#placed.get(parent);
      if (what === "symlink") throw refused(name, `it goes through the symbolic link "${parent}"`);
      if (what === "file" || what === "link") throw refused(name, `"${parent}" is a file`);
      if (what !== undefined) continue;
      this.#fold(parent, name);
      this.#placed.set(parent, "implied");
      implied.push(parent);
    }
    return implied;
  }

  #place(path: string, kind: Step["kind"], name: string): void {
    const what = this.#placed.get(path);
    if (what === "implied" && kind === "directory") {
      this.#placed.set(path, "directory");
      return;
    }
    if (what !== undefined) throw refused(name, "duplicate entry");
    this.#fold(path, name);
    this.#placed.set(path, kind);
  }

  /** File systems without the difference would have one file of the two. */
  #fold(path: string, name: string): void {
    if (MODULE.test(path)) return;
    const folded = path.normalize("NFC").toLowerCase();
    const other = this.#folded.get(folded);
    if (other !== undefined && other !== path) {
      throw refused(name, `it differs from "${other}" only in case`);
    }
    this.#folded.set(folded, path);
  }

  #targetOf(entry: TarEntry, path: string, name: string): string {
    if (entry.type === "link") {
      const target = plainPath(entry.linkName, name, "its target");
      const what = this.#placed.get(target);
      if (what === "file" || what === "link") return target;
      throw refused(name, `hard link to "${target}", which is not an earlier file`);
    }
    if (entry.type !== "symlink") return "";
    const target = textOf(entry.linkName, name, "its target");
    checkSymlink(target, path.split("/").length - 1, name);
    return target;
  }
}

/**
 * A symbolic link may climb only with its first steps, which go through real folders, and not
 * above the root: what comes after ".." would otherwise depend on where other links lead.
 */
function checkSymlink(target: string, depth: number, name: string): void {
  const steps = target.split("/");
  const climbs = steps.findIndex((step) => step !== "..");
  const up = climbs < 0 ? steps.length : climbs;
  const isInside = target !== "" && !target.startsWith("/") && up <= depth;
  if (isInside && !steps.slice(up).includes("..")) return;
  throw refused(
    name,
    `it is a symbolic link that leaves the archive, to ${JSON.stringify(target)}`,
  );
}

function kindOf(entry: TarEntry, name: string): Step["kind"] {
  switch (entry.type) {
    case "file":
    case "directory":
    case "link":
    case "symlink":
      return entry.type;
    case "fifo":
      throw refused(name, "it is a named pipe");
    default:
      throw refused(name, "it is a device");
  }
}

/** The path without "./" before it and "/" behind it; anything else that is not plain is refused. */
function plainPath(bytes: Uint8Array, name: string, what = "its name"): string {
  const text = textOf(bytes, name, what);
  if (text.startsWith("/")) throw refused(name, `${what} is an absolute path`);
  const path = text.replace(/^(\.\/)+/, "").replace(/\/$/, "");
  if (path === "" || path === ".") return "";
  const parts = path.split("/");
  if (parts.includes("..")) throw refused(name, `${what} has ".." in it`);
  if (parts.includes(".") || parts.includes("")) throw refused(name, `${what} is not plain`);
  if (parts.some((part) => Buffer.byteLength(part) > MAX_NAME_BYTES)) {
    throw refused(name, `${what} has a part of more than ${MAX_NAME_BYTES} bytes`);
  }
  return path;
}

function textOf(bytes: Uint8Array, name: string, what: string): string {
  if (bytes.length > MAX_PATH_BYTES) {
    throw refused(name, `${what} has more than ${MAX_PATH_BYTES} bytes`);
  }
  const text = Buffer.from(bytes).toString("utf8");
  if (Buffer.compare(Buffer.from(text), bytes) !== 0 || hasControls(text) || text.includes("\\")) {
    throw refused(name, `${what} is not valid UTF-8`);
  }
  return text;
}

/** `name` as `shown` gives it. */
export function refused(name: string, why: string, code: ErrorCode = "integrity"): BangerError {
  return new BangerError(code, `Cannot unpack ${name}: ${why}`);
}
