/** Writes what is in a workspace to a file of the host: a patch, a tar archive or a git bundle. */
import { createWriteStream, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { BangerError } from "#base/error.ts";
import { TYPE_FILE, TYPE_SYMLINK, typeOf } from "#base/files/tree-records.ts";
import { GiB } from "#base/size.ts";
import { git, gitError } from "#workspace/git/git.ts";
import { isGitDirectory } from "#workspace/git/index-file.ts";
import { fetchFiles } from "#workspace/guest/files.ts";
import { isMark } from "#workspace/guest/mark.ts";
import type { GuestPort } from "#workspace/guest/port.ts";
import { HostView } from "#workspace/in/host-files.ts";
import { tarOf } from "#workspace/in/tar-out.ts";
import { joinName } from "#workspace/names.ts";
import type { Captured, OpenWorkspace } from "#workspace/open.ts";
import { removeLeftovers, stagingName } from "#workspace/staging.ts";
import { dirtyCommits } from "./fetch.ts";
import { diffOf } from "./report.ts";

const TAR_MAX_BYTES = 64 * GiB;

/** Against the state at the import, or HEAD. */
export async function patchOf(capture: Captured): Promise<Uint8Array> {
  const args = ["--binary", "--full-index"];
  const text = await diffOf(capture, { base: "import", staged: false, color: false, args });
  return Buffer.from(text, "latin1");
}

/** The files of the working trees: tracked ones, and untracked ones that are not ignored. */
export async function exportTar(
  guest: GuestPort,
  { path, workspace, file }: { path: string; workspace: OpenWorkspace; file: string },
): Promise<number> {
  const names = workspace.repositories.flatMap(({ root, clean, changed }) =>
    [...clean, ...changed].map(({ name }) => joinName(root, name)),
  );
  if (workspace.repositories.length === 0) {
    for (const [name, entry] of workspace.tree) {
      const type = typeOf(entry);
      const isBad = isMark(name) || name.split("/").some((part) => isGitDirectory(part));
      if (!isBad && (type === TYPE_FILE || type === TYPE_SYMLINK)) names.push(name);
    }
  }
  const folder = join(workspace.scratch, "tar");
  const got = await fetchFiles(guest, { path, names, folder, max_bytes: TAR_MAX_BYTES });
  const view = new HostView(folder);
  const items = [...got].toSorted().flatMap((name) => {
    const there = view.lstat(name);
    const { mtime_s = 0, mtime_ns = 0 } = workspace.tree.get(name) ?? {};
    return there
      ? [{ kind: "host", path: view.bytes(name), entry: { ...there, mtime_s, mtime_ns } } as const]
      : [];
  });
  await writeWhole(file, async (staging) => {
    const chunks = tarOf(items, { checksTimes: false });
    await pipeline(Readable.from(chunks), createWriteStream(staging, { mode: 0o644 }));
  });
  return items.length;
}

/** Branches and tags of the machine, and refs/banger/index and refs/banger/worktree for what is not committed. */
export async function exportBundle(capture: Captured, file: string): Promise<number> {
  const { index, worktree } = await dirtyCommits(capture);
  const refs = new Map(
    [...capture.refs.refs].filter(([name]) => /^refs\/(heads|tags)\//.test(name)),
  );
  if (index) refs.set("refs/banger/index", index);
  if (worktree) refs.set("refs/banger/worktree", worktree);
  if (capture.refs.head && !capture.refs.branch) refs.set("refs/banger/HEAD", capture.refs.head);
  if (refs.size === 0) throw new BangerError("invalid_state", "nothing to export: no commits");
  const lines = [...refs].map(([name, id]) => `update ${name} ${id}\n`);
  const set = await git(capture.git, ["update-ref", "--stdin"], { stdin: lines.join("") });
  if (set.exitCode !== 0) throw gitError("Cannot export a bundle", set);
  const { head, branch } = capture.refs;
  // With HEAD, git can clone the bundle.
  const names = head ? ["HEAD", ...refs.keys()] : [...refs.keys()];
  if (head) {
    const text = branch ? `ref: ${branch}\n` : `${head}\n`;
    writeFileSync(join(capture.git.gitDir, "HEAD"), text, "latin1");
  }
  await writeWhole(file, async (staging) => {
    const made = await git(capture.git, ["bundle", "create", "--quiet", staging, "--stdin"], {
      stdin: names.map((name) => `${name}\n`).join(""),
    });
    if (made.exitCode !== 0) throw gitError("Cannot export a bundle", made);
  });
  return refs.size;
}

/** The file appears whole, or not at all. */
export async function writeWhole(
  file: string,
  write: (staging: string) => Promise<void>,
): Promise<void> {
  const folder = dirname(file);
  removeLeftovers(folder);
  const staging = join(folder, stagingName("export"));
  try {
    await write(staging);
    renameSync(staging, file);
  } catch (error) {
    rmSync(staging, { force: true });
    throw error;
  }
}
