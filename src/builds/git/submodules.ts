/** Finds the submodules of a checkout and their URLs. */
import { lstatSync } from "node:fs";
import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import { KiB } from "#base/size.ts";
import { type GitHome, gitOk } from "./run.ts";

export interface Submodule {
  url: URL;
  commit: string;
  /** The empty directory to check it out to. */
  folder: string;
}

const FILE_MAX_BYTES = 256 * KiB;

/** `links`: the gitlinks of the tree. `unsupported` for an address that is not http, https or git. */
export async function submodulesOf(
  home: GitHome,
  options: {
    tree: string;
    links: readonly { path: string; commit: string }[];
    parent: URL;
    shown: string;
  },
): Promise<Submodule[]> {
  const { tree, links, parent, shown } = options;
  const file = join(tree, ".gitmodules");
  const stat = lstatSync(file, { throwIfNoEntry: false });
  if (stat && (!stat.isFile() || stat.size > FILE_MAX_BYTES)) {
    throw new BangerError(
      "integrity",
      `Cannot read the submodules of ${shown}: .gitmodules is malformed`,
    );
  }
  const args = ["config", "--file", file, "--no-includes", "-z", "--list"];
  const text = stat ? await gitOk(home, args, `Cannot read the submodules of ${shown}`) : "";
  const modules = new Map<string, { path?: string; url?: string }>();
  for (const entry of text.split("\0")) {
    const [, name, field, value] =
      /^submodule\.([\s\S]+)\.(path|url)\n([\s\S]*)$/.exec(entry) ?? [];
    if (name !== undefined && field) modules.set(name, { ...modules.get(name), [field]: value });
  }
  const urls = new Map([...modules.values()].map(({ path, url }) => [path, url]));
  return links.map(({ path, commit }) => {
    const address = urls.get(path);
    if (!address) {
      throw new BangerError("integrity", `${shown} has no URL for its submodule "${path}"`);
    }
    return { url: urlOf(address, { parent, path }), commit, folder: folderOf(tree, path) };
  });
}

/** Relative addresses resolve against the repository's, as if it were a directory. */
function urlOf(address: string, { parent, path }: { parent: URL; path: string }): URL {
  const isRelative = /^\.\.?\//.test(address);
  const base = new URL(parent);
  if (isRelative) base.pathname = `${base.pathname.replace(/\/+$/, "")}/`;
  const full = isRelative ? new URL(base) : URL.canParse(address) ? new URL(address) : undefined;
  if (full && isRelative) full.pathname = join(base.pathname, address);
  if (full && /^(https?|git):$/.test(full.protocol) && full.hostname !== "") {
    full.hash = "";
    full.search = "";
    return full;
  }
  throw new BangerError(
    "unsupported",
    `Cannot fetch the submodule "${path}" from "${address}": unsupported URL, expected http, https or git`,
    { hint: "Skip submodules: append ?submodules=false to the repository URL" },
  );
}

/** No component of its path may be a symbolic link. */
function folderOf(tree: string, path: string): string {
  return path.split("/").reduce((at, name) => {
    const next = join(at, name);
    const isPlain = name !== "" && name !== "." && name !== ".." && name.toLowerCase() !== ".git";
    if (isPlain && lstatSync(next, { throwIfNoEntry: false })?.isDirectory()) return next;
    throw new BangerError("integrity", `submodule "${path}" is outside its repository`);
  }, tree);
}
