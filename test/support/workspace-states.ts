/** States that a repository of a user's can be in, each made from nothing. */
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { sha256 } from "#base/digest.ts";
import { TestRepository } from "#test/git-server.ts";

export interface State {
  name: string;
  options?: readonly string[];
  /** Gives the directory to import, if it is not the repository's. */
  make(repo: TestRepository): string | undefined;
}

type Make = (
  repo: TestRepository,
  write: (name: string, text: string | Uint8Array) => void,
) => unknown;

export function state(name: string, make: Make, ...options: string[]): State {
  return {
    name,
    options,
    make(repo) {
      const path = make(repo, (file, text) => {
        mkdirSync(dirname(join(repo.path, file)), { recursive: true });
        writeFileSync(join(repo.path, file), text);
      });
      return typeof path === "string" ? path : undefined;
    },
  };
}

const LINES = Array.from({ length: 40 }, (_, at) => `line ${at}\n`).join("");

/** Otherwise git would compare the content, as it may have changed in the moment after it was added. */
function makeOld(repo: TestRepository, name: string): void {
  utimesSync(join(repo.path, name), 1_700_000_000, 1_700_000_000);
}

/** git stops in the middle of it. */
function stopping({ path }: TestRepository, ...args: string[]): void {
  const own = ["-c", "user.name=t", "-c", "user.email=t@e"];
  Bun.spawnSync(["git", ...own, ...args], { cwd: path });
}

export function base(repo: TestRepository): void {
  repo.commit({ "a.txt": LINES, "src/b.txt": "b\n", "src/deep/c.txt": "c\n", "old.txt": LINES });
  repo.commit({ "second.txt": "2\n" }, "v1");
}

export const states: readonly State[] = [
  state("clean", base),
  state("one commit", (repo) => void repo.commit({ "a.txt": "a\n" })),
  state("unborn branch, empty", () => {}),
  state("unborn branch with staged files", (repo, write) => {
    write("a.txt", "a\n");
    repo.git("add", "a.txt");
    write("b.txt", "b\n");
  }),
  state("staged change", (repo, write) => {
    base(repo);
    write("a.txt", "changed\n");
    repo.git("add", "a.txt");
  }),
  state("unstaged change", (repo, write) => {
    base(repo);
    write("a.txt", "changed\n");
  }),
  state("staged and unstaged change of one file", (repo, write) => {
    base(repo);
    write("a.txt", "staged\n");
    repo.git("add", "a.txt");
    write("a.txt", "unstaged\n");
  }),
  state("staged change that is undone in the tree", (repo, write) => {
    base(repo);
    write("a.txt", "staged\n");
    repo.git("add", "a.txt");
    write("a.txt", LINES);
  }),
  state("staged deletion", (repo) => {
    base(repo);
    repo.git("rm", "--quiet", "a.txt");
  }),
  state("unstaged deletion", (repo) => {
    base(repo);
    rmSync(join(repo.path, "src/b.txt"));
  }),
  state("staged deletion, the file is there", (repo) => {
    base(repo);
    repo.git("rm", "--quiet", "--cached", "a.txt");
  }),
  state("staged rename", (repo) => {
    base(repo);
    repo.git("mv", "old.txt", "new.txt");
  }),
  state("unstaged rename", (repo) => {
    base(repo);
    renameSync(join(repo.path, "old.txt"), join(repo.path, "moved.txt"));
  }),
  state("staged mode change", (repo) => {
    base(repo);
    chmodSync(join(repo.path, "a.txt"), 0o755);
    repo.git("add", "a.txt");
  }),
  state("unstaged mode change", (repo) => {
    base(repo);
    chmodSync(join(repo.path, "a.txt"), 0o755);
  }),
  state("private modes", (repo) => {
    base(repo);
    chmodSync(join(repo.path, "a.txt"), 0o600);
    chmodSync(join(repo.path, "src/b.txt"), 0o640);
  }),
  state("symlinks, also broken and absolute", (repo) => {
    base(repo);
    symlinkSync("a.txt", join(repo.path, "link"));
    symlinkSync("/nowhere/at/all", join(repo.path, "broken"));
    repo.git("add", "link", "broken");
    repo.commit({ "x.txt": "x\n" });
    symlinkSync("src", join(repo.path, "folder-link"));
  }),
  state("file replaced by a symlink", (repo) => {
    base(repo);
    rmSync(join(repo.path, "a.txt"));
    symlinkSync("old.txt", join(repo.path, "a.txt"));
  }),
  state("staged change of type", (repo) => {
    base(repo);
    rmSync(join(repo.path, "a.txt"));
    symlinkSync("old.txt", join(repo.path, "a.txt"));
    repo.git("add", "a.txt");
  }),
  state("names that differ in case only", (repo, write) => {
    repo.commit({ "readme.md": "lower\n", "README.md": "upper\n", "Dir/a": "1\n", "dir/a": "2\n" });
    write("ReadMe.md", "mixed\n");
  }),
  state("directory replaced by a symlink", (repo) => {
    base(repo);
    renameSync(join(repo.path, "src"), join(repo.path, "source"));
    symlinkSync("source", join(repo.path, "src"));
  }),
  state("file replaced by a directory", (repo, write) => {
    base(repo);
    rmSync(join(repo.path, "a.txt"));
    write("a.txt/inside.txt", "inside\n");
  }),
  state("directory replaced by a file", (repo, write) => {
    base(repo);
    rmSync(join(repo.path, "src"), { recursive: true });
    write("src", "now a file\n");
  }),
  state("binary files", (repo, write) => {
    const bytes = Uint8Array.from({ length: 70_000 }, (_, at) => (at * 7919) % 256);
    write("data.bin", bytes);
    repo.git("add", "data.bin");
    repo.commit({ "a.txt": "a\n" });
    write(
      "data.bin",
      bytes.map((byte) => 255 - byte),
    );
    write("other.bin", bytes);
  }),
  state("empty files", (repo, write) => {
    write("empty", "");
    repo.git("add", "empty");
    repo.commit({ "a.txt": "a\n" });
    write("empty-too", "");
  }),
  state("untracked files in new directories", (repo, write) => {
    base(repo);
    write("new/deep/er/file.txt", "new\n");
    write("top.txt", "top\n");
  }),
  state("ignored files", (repo, write) => {
    repo.commit({ ".gitignore": "*.log\nbuild/\n", "a.txt": "a\n", "sub/.gitignore": "local\n" });
    write("x.log", "log\n");
    write("build/out", "out\n");
    write("sub/local", "local\n");
    write("sub/kept", "kept\n");
    appendFileSync(join(repo.path, ".git/info/exclude"), "private*\n");
    write("private.txt", "private\n");
  }),
  state("ignored with exceptions", (repo, write) => {
    repo.commit({ ".gitignore": "/out/*\n!/out/keep\n*.tmp\n", "sub/.gitignore": "!x.tmp\n" });
    for (const name of ["out/drop", "out/keep", "a.tmp", "sub/x.tmp"]) write(name, "x\n");
  }),
  state("ignored but tracked", (repo, write) => {
    write("x.log", "log\n");
    repo.git("add", "x.log");
    repo.commit({ ".gitignore": "*.log\n" });
    write("x.log", "changed\n");
  }),
  state("intent to add", (repo, write) => {
    base(repo);
    write("later.txt", "later\n");
    repo.git("add", "--intent-to-add", "later.txt");
  }),
  state("conflict of a merge", (repo, write) => {
    base(repo);
    repo.git("checkout", "--quiet", "-b", "other");
    repo.commit({ "a.txt": LINES.replace("line 3", "theirs") });
    repo.git("checkout", "--quiet", "main");
    repo.commit({ "a.txt": LINES.replace("line 3", "ours") });
    stopping(repo, "merge", "other");
    write("unrelated.txt", "u\n");
  }),
  state("conflict of a deletion", (repo) => {
    base(repo);
    repo.git("checkout", "--quiet", "-b", "other");
    repo.git("rm", "--quiet", "a.txt");
    repo.commit({ "gone.txt": "gone\n" });
    repo.git("checkout", "--quiet", "main");
    repo.commit({ "a.txt": "ours\n" });
    stopping(repo, "merge", "other");
  }),
  state("rebase in progress", (repo) => {
    base(repo);
    repo.git("checkout", "--quiet", "-b", "topic", "HEAD~1");
    repo.commit({ "second.txt": "mine\n" });
    repo.commit({ "third.txt": "3\n" });
    stopping(repo, "rebase", "main");
  }),
  state("cherry-pick in progress", (repo) => {
    base(repo);
    repo.git("checkout", "--quiet", "-b", "topic", "HEAD~1");
    repo.commit({ "second.txt": "mine\n" });
    stopping(repo, "cherry-pick", "main");
  }),
  state("revert in progress", (repo) => {
    base(repo);
    repo.commit({ "second.txt": "later\n" });
    stopping(repo, "revert", "HEAD~1");
  }),
  state("merge that is ready to be committed", (repo) => {
    base(repo);
    repo.git("checkout", "--quiet", "-b", "other", "HEAD~1");
    repo.commit({ "other.txt": "other\n" });
    repo.git("checkout", "--quiet", "main");
    repo.git("merge", "--quiet", "--no-commit", "--no-ff", "other");
  }),
  state("patch of a mailbox that does not apply", (repo) => {
    base(repo);
    const patch = repo.git("format-patch", "--stdout", "-1");
    repo.commit({ "second.txt": "mine\n" });
    Bun.spawnSync(["git", "-c", "user.name=t", "-c", "user.email=t@e", "am"], {
      cwd: repo.path,
      stdin: Buffer.from(patch),
    });
  }),
  state("orphan branch with the files of another", (repo) => {
    base(repo);
    repo.git("checkout", "--quiet", "--orphan", "fresh");
  }),
  state("tags of a blob and of a tree", (repo) => {
    base(repo);
    repo.git("tag", "blob", "HEAD:a.txt");
    repo.git("tag", "tree", "HEAD^{tree}");
  }),
  state("detached HEAD", (repo) => {
    base(repo);
    repo.git("checkout", "--quiet", "--detach", "HEAD~1");
  }),
  state("several branches, tags and remotes", (repo) => {
    base(repo);
    repo.git("branch", "feature/one");
    repo.git("tag", "-a", "-m", "annotated", "v2");
    repo.git("remote", "add", "origin", "https://user:secret@example.com/x.git");
    repo.git("update-ref", "refs/remotes/origin/main", "HEAD~1");
    repo.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main");
    repo.git("pack-refs", "--all");
    repo.git("branch", "after-packing");
  }),
  state("packed with deltas", (repo) => {
    for (let at = 0; at < 12; at++) repo.commit({ "a.txt": `${LINES}${at}\n` });
    repo.git("gc", "--quiet");
    repo.commit({ "b.txt": "loose\n" });
  }),
  state("linked worktree", (repo, write) => {
    base(repo);
    write("only-main.txt", "not of the worktree\n");
    const other = `${repo.path}-worktree`;
    repo.git("worktree", "add", "--quiet", "-b", "side", other);
    writeFileSync(join(other, "a.txt"), "in the worktree\n");
    writeFileSync(join(other, "untracked.txt"), "u\n");
    return other;
  }),
  state("from a subdirectory", (repo) => {
    base(repo);
    return join(repo.path, "src/deep");
  }),
  state("submodule, recursive, with changes", (repo) => {
    const inner = new TestRepository(`${repo.path}-inner`);
    inner.commit({ "inner.txt": "inner\n" });
    const middle = new TestRepository(`${repo.path}-middle`);
    middle.commit({ "middle.txt": "middle\n" });
    middle.git("submodule", "--quiet", "add", inner.path, "inner");
    middle.commit({ "more.txt": "more\n" });
    base(repo);
    repo.git("submodule", "--quiet", "add", middle.path, "lib/middle");
    repo.git("submodule", "--quiet", "update", "--init", "--recursive");
    repo.commit({ "with.txt": "with\n" });
    writeFileSync(join(repo.path, "lib/middle/inner/inner.txt"), "changed\n");
    writeFileSync(join(repo.path, "lib/middle/new.txt"), "new\n");
  }),
  state("submodule at another commit, staged", (repo) => {
    const inner = new TestRepository(`${repo.path}-inner`);
    for (const text of ["one", "two", "three"]) inner.commit({ "inner.txt": `${text}\n` });
    base(repo);
    repo.git("submodule", "--quiet", "add", inner.path, "lib");
    repo.commit({ "with.txt": "with\n" });
    Bun.spawnSync(["git", "checkout", "--quiet", "HEAD~1"], { cwd: join(repo.path, "lib") });
    repo.git("add", "lib");
  }),
  state("submodule that is not checked out", (repo) => {
    const inner = new TestRepository(`${repo.path}-inner`);
    inner.commit({ "inner.txt": "inner\n" });
    base(repo);
    repo.git("submodule", "--quiet", "add", inner.path, "lib");
    repo.commit({ "with.txt": "with\n" });
    repo.git("submodule", "--quiet", "deinit", "--force", "lib");
  }),
  state("repository in the tree that is no submodule", (repo) => {
    base(repo);
    new TestRepository(join(repo.path, "vendor/nested")).commit({ "n.txt": "nested\n" });
  }),
  state("sparse checkout", (repo) => {
    base(repo);
    repo.git("sparse-checkout", "set", "--cone", "src");
  }),
  state("sparse checkout with a sparse index", (repo) => {
    base(repo);
    repo.commit({ "far/away/x.txt": "x\n", "far/y.txt": "y\n" });
    repo.git("sparse-checkout", "set", "--cone", "--sparse-index", "src");
  }),
  state("split index", (repo, write) => {
    base(repo);
    repo.git("update-index", "--split-index");
    write("a.txt", "changed\n");
    repo.git("add", "a.txt");
  }),
  state("index version 4, assumed unchanged", (repo, write) => {
    base(repo);
    repo.git("update-index", "--index-version", "4");
    repo.git("update-index", "--assume-unchanged", "a.txt");
    repo.git("update-index", "--skip-worktree", "src/b.txt");
    write("old.txt", "changed\n");
  }),
  state("CRLF by attribute", (repo, write) => {
    repo.commit({ ".gitattributes": "*.txt text eol=crlf\n" });
    write("dos.txt", "one\r\ntwo\r\n");
    repo.git("add", "dos.txt");
    repo.commit({ "x.md": "x\n" });
    write("other.txt", "three\r\nfour\r\n");
  }),
  state("autocrlf by configuration", (repo, write) => {
    repo.git("config", "core.autocrlf", "true");
    write("dos.txt", "one\r\ntwo\r\n");
    repo.git("add", "dos.txt");
    repo.commit({ "x.md": "x\n" });
  }),
  state("filter that is not here", (repo, write) => {
    repo.commit({ ".gitattributes": "*.enc filter=crypt\n" });
    repo.git("config", "filter.crypt.clean", "tr a-z n-za-m");
    repo.git("config", "filter.crypt.smudge", "tr n-za-m a-z");
    write("x.enc", "secret text\n");
    makeOld(repo, "x.enc");
    repo.git("add", "x.enc");
    repo.commit({ "a.txt": "a\n" });
  }),
  state("LFS objects", (repo, write) => {
    const content = "a large file\n".repeat(100);
    const hash = sha256(content).replace("sha256:", "");
    const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${hash}\nsize ${content.length}\n`;
    repo.commit({ ".gitattributes": "*.big filter=lfs diff=lfs merge=lfs -text\n" });
    write("x.big", pointer);
    repo.git("add", "x.big");
    repo.commit({ "a.txt": "a\n" });
    write("x.big", content);
    makeOld(repo, "x.big");
    repo.git("config", "filter.lfs.clean", `printf '${pointer.replaceAll("\n", "\\n")}'`);
    repo.git("add", "x.big");
    write(`.git/lfs/objects/${hash.slice(0, 2)}/${hash.slice(2, 4)}/${hash}`, content);
  }),
  state("shallow clone", (repo) => {
    for (let at = 0; at < 6; at++) repo.commit({ "a.txt": `${at}\n` });
    const clone = new TestRepository(`${repo.path}-shallow`);
    clone.git("remote", "add", "origin", `file://${repo.path}`);
    clone.git("fetch", "--quiet", "--depth", "2", "origin", "main");
    clone.git("reset", "--quiet", "--hard", "origin/main");
    return clone.path;
  }),
  state("partial clone", (repo) => {
    base(repo);
    repo.commit({ "a.txt": "newer\n" });
    repo.git("config", "uploadpack.allowFilter", "true");
    const clone = `${repo.path}-partial`;
    repo.git("clone", "--quiet", "--filter=blob:none", `file://${repo.path}`, clone);
    writeFileSync(join(clone, "a.txt"), "mine\n");
    return clone;
  }),
  state("alternate object store", (repo) => {
    base(repo);
    const clone = `${repo.path}-shared`;
    repo.git("clone", "--quiet", "--shared", repo.path, clone);
    writeFileSync(join(clone, "own.txt"), "own\n");
    return clone;
  }),
  state(
    "SHA-256",
    (repo, write) => {
      base(repo);
      write("a.txt", "changed\n");
      repo.git("add", "a.txt");
      write("new.txt", "new\n");
    },
    "--object-format=sha256",
  ),
  state("strange names", (repo, write) => {
    base(repo);
    for (const name of [
      "with space",
      'quote"d',
      "new\nline",
      "tab\there",
      "ünïcode",
      "-dash",
      "back\\slash",
      ":(glob)x",
    ]) {
      write(name, `${name}\n`);
    }
    repo.git("add", "--", "with space", "new\nline", "ünïcode");
    write("ünïcode", "changed\n");
  }),
  state("names that are not UTF-8", (repo) => {
    base(repo);
    writeFileSync(Buffer.concat([Buffer.from(`${repo.path}/caf`), Buffer.of(0xe9)]), "latin\n");
    writeFileSync(
      Buffer.concat([Buffer.from(`${repo.path}/untracked-`), Buffer.of(0xff, 0xfe)]),
      "raw\n",
    );
    Bun.spawnSync(["sh", "-c", "git add caf*"], { cwd: repo.path });
  }),
  state("replace refs, notes and a stash", (repo, write) => {
    base(repo);
    write("a.txt", "stashed\n");
    repo.git("stash", "--quiet");
    repo.git("notes", "add", "-m", "note");
    repo.git("replace", "HEAD", "HEAD~1");
  }),
  state("bisect in progress", (repo) => {
    for (let at = 0; at < 5; at++) repo.commit({ "a.txt": `${at}\n` });
    repo.git("bisect", "start", "HEAD", "HEAD~4");
  }),
  state("hooks, aliases, fsmonitor and a pager that must not run", (repo) => {
    base(repo);
    const trap = `touch ${repo.path}-trapped`;
    for (const [key, value] of [
      ["core.fsmonitor", trap],
      ["core.pager", trap],
      ["core.editor", trap],
      ["core.sshCommand", trap],
      ["core.askPass", trap],
      ["core.alternateRefsCommand", trap],
      ["diff.external", trap],
      ["credential.helper", `!${trap}`],
      ["gpg.program", trap],
      ["alias.ls-files", `!${trap}`],
      ["filter.trap.clean", trap],
      ["filter.trap.smudge", trap],
      ["filter.trap.process", trap],
      ["diff.trap.textconv", trap],
      ["diff.trap.command", trap],
      ["merge.trap.driver", trap],
    ]) {
      repo.git("config", key ?? "", value ?? "");
    }
    for (const hook of [
      "post-index-change",
      "reference-transaction",
      "pre-auto-gc",
      "post-checkout",
    ]) {
      writeFileSync(join(repo.path, ".git/hooks", hook), `#!/bin/sh\n${trap}\n`, { mode: 0o755 });
    }
    writeFileSync(join(repo.path, ".gitattributes"), "* filter=trap diff=trap merge=trap\n");
    writeFileSync(join(repo.path, "a.txt"), "changed\n");
  }),
];
