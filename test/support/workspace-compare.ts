/** All that git and the file system say of a repository, to be compared with another. */
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";

const ENV = {
  ...process.env,
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_OPTIONAL_LOCKS: "0",
  GIT_CONFIG_COUNT: "4",
  GIT_CONFIG_KEY_0: "core.fsmonitor",
  GIT_CONFIG_VALUE_0: "false",
  GIT_CONFIG_KEY_1: "core.pager",
  GIT_CONFIG_VALUE_1: "cat",
  GIT_CONFIG_KEY_2: "protocol.allow",
  GIT_CONFIG_VALUE_2: "never",
  GIT_CONFIG_KEY_3: "filter.trap.clean",
  GIT_CONFIG_VALUE_3: "",
};

export function gitIn(folder: string, ...args: string[]): { stdout: string; stderr: string } {
  const child = Bun.spawnSync(["git", ...args], { cwd: folder, env: ENV });
  return { stdout: child.stdout.toString("latin1"), stderr: child.stderr.toString() };
}

/** `withGitDir`: with every file of `.git` too, to see that nothing was written. */
export function describeRepository(
  folder: string,
  { withGitDir = false }: { withGitDir?: boolean },
): Record<string, unknown> {
  if (withGitDir) return { files: filesOf(folder, true) };
  const out = (...args: string[]): string => gitIn(folder, ...args).stdout;
  return {
    files: filesOf(folder, false),
    status: out("status", "--porcelain=v2", "-z", "--branch").replace(/\S*\/submodule\S*/g, ""),
    untracked: out("status", "--porcelain=v2", "-z", "--untracked-files=all"),
    index: out("ls-files", "-z", "--stage"),
    flags: out("ls-files", "-z", "-v", "-t"),
    head: out("rev-parse", "HEAD"),
    branch: out("symbolic-ref", "HEAD"),
    refs: out("for-each-ref", "refs/heads", "refs/tags", "refs/remotes"),
    staged: out("diff", "--cached", "--binary", "--no-ext-diff", "--no-textconv"),
    log: out("log", "--oneline", "--no-show-signature"),
  };
}

/** Ignored files are left out, as they are not imported. */
function filesOf(top: string, withGitDir: boolean): Record<string, string> {
  const ignored = new Set(
    withGitDir
      ? []
      : gitIn(top, "ls-files", "-z", "--others", "--ignored", "--exclude-standard").stdout.split(
          "\0",
        ),
  );
  const found: Record<string, string> = {};
  const walk = (folder: Buffer, name: string): void => {
    for (const child of readdirSync(folder, { encoding: "buffer" })) {
      const path = Buffer.concat([folder, Buffer.from("/"), child]);
      const full = name === "" ? child.toString("latin1") : `${name}/${child.toString("latin1")}`;
      if (!withGitDir && (child.toString() === ".git" || ignored.has(full))) continue;
      const info = lstatSync(path, { bigint: true });
      if (info.isDirectory()) walk(path, full);
      else if (info.isSymbolicLink()) found[full] = `-> ${readlinkSync(path)}`;
      else {
        const hash = createHash("sha1").update(readFileSync(path)).digest("hex");
        // git touches objects and shared indexes that it reads.
        const isTouched = /^\.git\/(objects\/|sharedindex)/.test(full);
        found[full] = `${info.mode.toString(8)} ${isTouched ? "" : info.mtimeNs} ${hash}`;
      }
    }
  };
  walk(Buffer.from(top), "");
  return found;
}
