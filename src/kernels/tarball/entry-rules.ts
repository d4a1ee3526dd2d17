/**
 * Validates the entries of a kernel archive: regular files, directories, and links that stay inside. Every name is
 * checked before anything is written, and entries are only created below directories that were created here, so
 * neither names nor links can escape.
 */
import { BangerError, type ErrorCode } from "#base/error.ts";
import { hasControls } from "#base/printable.ts";
import { shown, type TarEntry } from "#tar/entry.ts";

const MAX_PATH_BYTES = 1000;
const MAX_NAME_BYTES = 255;
const SPECIAL_BITS = 0o7000;
/** Linux has modules whose names differ only in case, such as xt_mark and xt_MARK. */
const MODULE = /^modules\/.+\.ko(\.\w+)?$/;

export type Placed = "directory" | "implied" | "file" | "link" | "symlink";

export interface Step {
  kind: "directory" | "file" | "link" | "symlink";
  /** Path in the archive, "boot/virtio_blk.ko"; empty for its root. */
  path: string;
  /** Parent directories without an entry of their own, outermost first. */
  implied: string[];
  /** Target of a hard or symbolic link. */
  target: string;
}

/** Tracks the entries so far, and decides what to create for each entry, or rejects it. */
export class EntryRules {
  /** By path. */
  readonly #placed = new Map<string, Placed>();
  /** By case-folded path. */
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

  /** A case-insensitive file system would merge the two files. */
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
 * A symbolic link may have ".." only at its start, where it goes through real directories, and not above the root;
 * later ".." would depend on other links.
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

/** Strips a leading "./" and a trailing "/"; rejects any other path that is not normalized. */
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
