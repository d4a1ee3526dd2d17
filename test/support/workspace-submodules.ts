/** States of a repository whose submodule is not as its index has it. */
import { appendFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TestRepository } from "#test/git-server.ts";
import { base, type State, state } from "#test/workspace-states.ts";

/** `change` gets the submodule's directory, which has three commits. */
function submodule(
  name: string,
  change: (lib: string, repo: TestRepository) => void,
  settings = "",
): State {
  return state(name, (repo) => {
    const inner = new TestRepository(`${repo.path}-inner`);
    for (const text of ["one", "two", "three"]) inner.commit({ "inner.txt": `${text}\n` });
    base(repo);
    repo.git("submodule", "--quiet", "add", inner.path, "lib");
    appendFileSync(join(repo.path, ".gitmodules"), settings);
    repo.git("add", ".gitmodules");
    repo.commit({ "with.txt": "with\n" });
    change(join(repo.path, "lib"), repo);
  });
}

function checkOutOlder(lib: string): void {
  Bun.spawnSync(["git", "checkout", "--quiet", "HEAD~1"], { cwd: lib });
}

function change(lib: string): void {
  writeFileSync(join(lib, "inner.txt"), "changed\n");
}

function add(lib: string): void {
  writeFileSync(join(lib, "new.txt"), "new\n");
}

export const submoduleStates: readonly State[] = [
  submodule("submodule with new commits", checkOutOlder),
  submodule("submodule with modified content", change),
  submodule("submodule with staged content", (lib) => {
    change(lib);
    Bun.spawnSync(["git", "add", "inner.txt"], { cwd: lib });
  }),
  submodule("submodule with untracked content", add),
  submodule("submodule with new commits, modified and untracked content", (lib) => {
    checkOutOlder(lib);
    change(lib);
    add(lib);
  }),
  submodule("submodule with other commits, staged and not", (lib, repo) => {
    checkOutOlder(lib);
    repo.git("add", "lib");
    checkOutOlder(lib);
  }),
  submodule("submodule whose changes are ignored", change, "\tignore = dirty\n"),
  submodule("submodule of which everything is ignored", checkOutOlder, "\tignore = all\n"),
  submodule("submodule whose directory is gone", (lib) => rmSync(lib, { recursive: true })),
  submodule("submodule whose repository is gone", (lib) => rmSync(join(lib, ".git"))),
  submodule("submodule that is removed and staged", (_, repo) => void repo.git("rm", "-q", "lib")),
  submodule("submodule that is moved", (_, repo) => void repo.git("mv", "lib", "moved")),
  submodule("submodule that is replaced by a file", (lib) => {
    rmSync(lib, { recursive: true });
    writeFileSync(lib, "a file\n");
  }),
  state("submodule that is added and not committed", (repo) => {
    const inner = new TestRepository(`${repo.path}-inner`);
    inner.commit({ "inner.txt": "inner\n" });
    base(repo);
    repo.git("submodule", "--quiet", "add", inner.path, "lib");
  }),
];
