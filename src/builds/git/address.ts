/** Parses git addresses as in BuildKit: a URL with ref and subdirectory in its query or fragment. */
import { posix } from "node:path";
import { BangerError } from "#base/error.ts";

export interface GitAddress {
  /** http, https, git or ssh; without query and fragment. */
  url: URL;
  /** A branch, a tag or a commit; undefined for the default branch. */
  ref: string | undefined;
  /** Subdirectory; "" for the whole repository. */
  subdir: string;
  /** Expected prefix of the commit hash. */
  checksum: string | undefined;
  keepGitDir: boolean | undefined;
  submodules: boolean;
}

const ADDRESS_MAX_CHARS = 4096;
const SCP_STYLE = /^([\w-]+)@([A-Za-z0-9.-]+):([^?#]*)(?:\?([^#]*))?(?:#([\s\S]*))?$/;
const SCHEMES = ["http:", "https:", "git:", "ssh:"];

/** Undefined if it is not a repository: an HTTP path must end with ".git". `invalid_argument`. */
export function gitAddressOf(word: string): GitAddress | undefined {
  const parts = partsOf(word);
  if (!parts) return undefined;
  if (word.length > ADDRESS_MAX_CHARS) {
    throw new BangerError("limit_exceeded", "repository URL too long");
  }
  const { url, query, fragment } = parts;
  const [ref = "", ...path] = fragment.split(":");
  const found = { ref, subdir: path.join(":"), checksum: "" };
  const flags = { "keep-git-dir": undefined as boolean | undefined, submodules: true };
  const names = new Set<string>();
  for (const [name, value] of query) {
    if (names.has(name)) throw wrong(word, `duplicate ${name}`);
    names.add(name);
    if (name === "keep-git-dir" || name === "submodules") flags[name] = truth(word, name, value);
    else if (value === "") throw wrong(word, `${name} requires a value`);
    else if (name === "ref") found.ref = same(word, found.ref, value);
    else if (name === "tag") found.ref = same(word, found.ref, qualified("refs/tags/", value));
    else if (name === "branch") {
      found.ref = same(word, found.ref, qualified("refs/heads/", value));
    } else if (name === "subdir") found.subdir = same(word, found.subdir, value);
    else if (name === "checksum" || name === "commit") {
      found.checksum = same(word, found.checksum, value);
    } else throw wrong(word, `unknown parameter "${name}"`);
  }
  if (found.ref !== "") checkRef(word, found.ref);
  return {
    url,
    ref: found.ref || undefined,
    subdir: posix.normalize(`/${found.subdir}`).replace(/^\/|\/$/g, ""),
    checksum: found.checksum || undefined,
    keepGitDir: flags["keep-git-dir"],
    submodules: flags.submodules,
  };
}

/** Without credentials. */
export function shownAddress(url: URL): string {
  const shown = new URL(url);
  shown.username = "";
  shown.password = "";
  return shown.href;
}

function partsOf(word: string): { url: URL; query: URLSearchParams; fragment: string } | undefined {
  const [, user = "", host, path = "", query = "", fragment = ""] = SCP_STYLE.exec(word) ?? [];
  if (host !== undefined && URL.canParse(`ssh://${user}@${host}/${path}`)) {
    const url = new URL(`ssh://${user}@${host}/${path}`);
    return { url, query: new URLSearchParams(query), fragment };
  }
  if (!/^[a-z0-9]+:\/\//i.test(word) || !URL.canParse(word)) return undefined;
  const url = new URL(word);
  const isHttp = url.protocol === "http:" || url.protocol === "https:";
  if (!SCHEMES.includes(url.protocol) || url.hostname === "") return undefined;
  if (isHttp && !url.pathname.endsWith(".git")) return undefined;
  const parts = { query: url.searchParams, fragment: text(url.hash.slice(1)) };
  const bare = new URL(url);
  bare.search = "";
  bare.hash = "";
  return { url: bare, ...parts };
}

function text(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return encoded;
  }
}

function truth(word: string, name: string, value: string): boolean {
  if (["", "1", "t", "T", "true", "TRUE", "True"].includes(value)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(value)) return false;
  throw wrong(word, `${name} must be true or false`);
}

function same(word: string, before: string, value: string): string {
  if (before === "" || before === value) return value;
  throw wrong(word, `"${before}" and "${value}" conflict`);
}

function qualified(prefix: string, name: string): string {
  return name.startsWith(prefix) ? name : `${prefix}${name}`;
}

/** As git-check-ref-format(1), so that a name cannot be an option, a pattern or a refspec. */
function checkRef(word: string, ref: string): void {
  const isName =
    /^[^-/.][^\0-\x20\x7f~^:?*[\\]*$/.test(ref) &&
    !/\.\.|@\{|\/\/|\/\.|[/.]$|\.lock(\/|$)/.test(ref);
  if (!isName) throw wrong(word, `"${ref}" is not a branch, tag or commit`);
}

function wrong(word: string, problem: string): BangerError {
  const shown = word.replace(/\/\/[^/@]*@/, "//");
  return new BangerError("invalid_argument", `invalid repository URL "${shown}": ${problem}`);
}
