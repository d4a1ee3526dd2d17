/** Repositories behind git's own HTTP server, which busybox runs, and behind git's daemon. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type FileServer, freePort, serveFiles } from "./file-server.ts";

export interface GitServer extends AsyncDisposable {
  /** Of a repository in the folder, by git's HTTP server. */
  url(name: string): string;
}

/** `folder`: of the repositories. */
export async function serveGit(folder: string): Promise<GitServer> {
  const root = join(folder, ".http");
  const program = join(root, "cgi-bin/git");
  mkdirSync(dirname(program), { recursive: true });
  const lines = [
    "#!/bin/sh",
    `export GIT_PROJECT_ROOT='${folder}' GIT_HTTP_EXPORT_ALL=1`,
    "exec git http-backend",
    "",
  ];
  writeFileSync(program, lines.join("\n"));
  chmodSync(program, 0o755);
  const server = await serveFiles(root);
  return {
    url: (name) => `${server.url}/cgi-bin/git/${name}`,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** The same folder by git's own protocol: "git://127.0.0.1:PORT". */
export async function serveGitDaemon(folder: string): Promise<FileServer> {
  const port = await freePort();
  const argv = [
    "git",
    "daemon",
    "--export-all",
    "--reuseaddr",
    "--listen=127.0.0.1",
    `--port=${port}`,
  ];
  const child = Bun.spawn([...argv, `--base-path=${folder}`, folder], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await child.exited;
  };
  while (child.exitCode === null) {
    const isThere = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } }).then(
      (socket) => {
        socket.end();
        return true;
      },
      () => false,
    );
    if (isThere) return { url: `git://127.0.0.1:${port}`, [Symbol.asyncDispose]: stop };
    await Bun.sleep(25);
  }
  await stop();
  throw new Error("git daemon did not start");
}

/** A repository that is made by git itself, step by step. */
export class TestRepository {
  readonly path: string;

  constructor(path: string, options: readonly string[] = []) {
    this.path = path;
    mkdirSync(path, { recursive: true });
    this.git("init", "--quiet", "--initial-branch=main", ...options);
  }

  git(...args: string[]): string {
    const author = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
    const child = Bun.spawnSync(["git", ...author, "-c", "protocol.file.allow=always", ...args], {
      cwd: this.path,
      env: { ...process.env, GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_NOSYSTEM: "1" },
    });
    if (child.exitCode !== 0) throw new Error(`git ${args.join(" ")}: ${child.stderr}`);
    return child.stdout.toString().trim();
  }

  /** Commits files, by path; gives the commit's hash. */
  commit(files: Record<string, string>, ...tags: string[]): string {
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(dirname(join(this.path, name)), { recursive: true });
      writeFileSync(join(this.path, name), content);
      this.git("add", "--", name);
    }
    this.git("commit", "--quiet", "--allow-empty", "-m", Object.keys(files).join(" ") || "empty");
    for (const tag of tags) this.git("tag", tag);
    this.git("update-server-info");
    return this.git("rev-parse", "HEAD");
  }
}
