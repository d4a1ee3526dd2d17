/** ADD of repositories: git on both sides, by its HTTP server, by its daemon and from plain files. */
import { afterAll, beforeAll, expect } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ImageBuild } from "#api/image.ts";
import { git, gitHome, REMOTE } from "#builds/git/run.ts";
import { openExt4 } from "#ext4/read/reader.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { serveFiles } from "#test/file-server.ts";
import { type GitServer, serveGit, serveGitDaemon, TestRepository } from "#test/git-server.ts";
import { openTestStore, type TestStore } from "#test/image-store.ts";
import { testNeeding } from "#test/needs.ts";
import { listing } from "#test/rootfs-build.ts";

const gitTest = testNeeding("git", "busybox");

let store: TestStore;
let folder = "";
let server: GitServer;
let repository: TestRepository;
const commits: Record<string, string> = {};

beforeAll(async () => {
  store = openTestStore();
  folder = join(store.folder, "repositories");
  repository = new TestRepository(join(folder, "r.git"));
  commits["v1"] = repository.commit({ foo: "foo of v1", "docs/a": "a", "docs/deep/b": "b" }, "v1");
  writeFileSync(join(repository.path, "run"), "#!");
  chmodSync(join(repository.path, "run"), 0o700);
  symlinkSync("docs", join(repository.path, "link"));
  repository.git("add", "run", "link");
  commits["v2"] = repository.commit({ foo: "foo of v2" });
  repository.git("tag", "-a", "-m", "annotated", "v2");
  repository.git("checkout", "--quiet", "-b", "side", "v1");
  commits["side"] = repository.commit({ foo: "foo of side" });
  repository.git("checkout", "--quiet", "main");
  commits["main"] = repository.commit({ foo: "foo of main" });
  server = await serveGit(folder);
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  store[Symbol.dispose]();
});

async function build(dockerfile: string, more: Partial<ImageBuild> = {}) {
  const text = `FROM scratch\n${dockerfile}\n`;
  const image = await store.builds.build({ name: "made", dockerfile: text, ...more });
  using reader = openExt4(image.rootfs);
  return listing(reader);
}

async function contentOf(address: string, flags = ""): Promise<string | undefined> {
  return (await build(`ADD ${flags} ${address} /r`))["/r/foo"];
}

async function problemOf(line: string, more: Partial<ImageBuild> = {}): Promise<string> {
  const { message, hint } = await bangerErrorOf(build(line, more));
  return `${message}\n${hint ?? ""}`;
}

gitTest("a repository is there as git checks it out, without its history", async () => {
  const image = await store.builds.build({
    name: "made",
    dockerfile: `FROM scratch\nADD ${server.url("r.git")} /r\nADD --chown=3:4 --chmod=u=rwX,go= ${server.url("r.git")}#v1:docs /d/\n`,
  });
  using reader = openExt4(image.rootfs);
  expect(listing(reader)).toEqual({
    "/r": "dir",
    "/r/foo": "= foo of main",
    "/r/run": "= #!",
    "/r/link": "-> docs",
    "/r/docs": "dir",
    "/r/docs/a": "= a",
    "/r/docs/deep": "dir",
    "/r/docs/deep/b": "= b",
    "/d": "dir",
    "/d/a": "= a",
    "/d/deep": "dir",
    "/d/deep/b": "= b",
  });
  const modes = ["/r", "/r/docs", "/r/foo", "/r/run"].map((path) => reader.stat(path).mode);
  expect(modes).toEqual([0o755, 0o755, 0o644, 0o755]);
  expect(reader.stat("/r/foo")).toMatchObject({ uid: 0, gid: 0 });
  expect(reader.stat("/d/a")).toMatchObject({ uid: 3, gid: 4, mode: 0o600 });
});

gitTest("a branch, a tag or a commit, in the fragment or in the query", async () => {
  const at = server.url("r.git");
  const rows: [string, string][] = [
    ["", "main"],
    ["#v1", "v1"],
    ["#v2", "v2"],
    ["#side", "side"],
    ["#refs/heads/side", "side"],
    ["?branch=side", "side"],
    ["?tag=v2", "v2"],
    ["?ref=v1", "v1"],
    [`#${commits["v1"]}`, "v1"],
    [`?ref=${commits["v2"]}&commit=${commits["v2"]}`, "v2"],
    [`?tag=v2&commit=${commits["v2"]?.slice(0, 8)}`, "v2"],
    [`?commit=${commits["main"]?.slice(0, 8)}`, "main"],
  ];
  for (const [end, name] of rows) {
    expect([end, await contentOf(at + end)]).toEqual([end, `= foo of ${name}`]);
  }
  expect(await contentOf(`${at}#v1`, `--checksum=${commits["v1"]}`)).toBe("= foo of v1");
  const refused: [string, string][] = [
    ["#nope", 'has no branch or tag "nope"'],
    ["?branch=v1", 'has no branch or tag "refs/heads/v1"'],
    [`#${commits["v1"]?.slice(0, 8)}`, "For a commit, use the full hash"],
    [`?tag=v1&commit=${commits["v2"]}`, "checksum mismatch"],
    [`#${"0".repeat(40)}`, `no such commit ${"0".repeat(40)}`],
    ["#v1:foo", 'has no directory "foo"'],
    [":x#v1:link", 'has no directory "link"'],
    ["#v1:../../docs/../../etc", 'has no directory "etc"'],
    ["?checksum=foobar", 'invalid repository checksum "foobar"'],
  ];
  for (const [end, problem] of refused) {
    expect(await problemOf(`ADD ${at}${end.replace(":x", "")} /r`)).toContain(problem);
  }
  expect(await problemOf(`ADD --keep-git-dir=false ${at}?keep-git-dir /r`)).toContain("conflict");
  expect(await problemOf(`COPY ${at} /r`)).toContain("Use ADD");
  expect(await problemOf(`ADD ${server.url("none.git")} /r`)).toContain("responded with 404");
});

gitTest("--keep-git-dir leaves a repository that works, and nothing of this host", async () => {
  const login = server.url("r.git").replace("//", "//user:secret@");
  const image = await store.builds.build({
    name: "made",
    dockerfile: `FROM scratch\nADD --keep-git-dir ${login}#v2 /r\nADD --keep-git-dir ${login}#side /s\n`,
  });
  using reader = openExt4(image.rootfs);
  const text = (path: string): string => Buffer.from(reader.readFile(path)).toString();
  expect(text("/r/.git/HEAD")).toBe(`${commits["v2"]}\n`);
  expect(text("/r/.git/config")).toContain(`url = ${server.url("r.git")}`);
  expect(text("/s/.git/refs/remotes/origin/side")).toBe(`${commits["side"]}\n`);
  const names = Object.keys(listing(reader)).filter((path) => path.startsWith("/r/.git/"));
  expect(names.filter((name) => /hooks|logs|FETCH_HEAD/.test(name))).toEqual([]);
  const copy = join(store.folder, "copy");
  for (const [path, what] of Object.entries(listing(reader))) {
    if (!path.startsWith("/s/")) continue;
    if (what === "dir") mkdirSync(join(copy, path), { recursive: true });
    else if (what.startsWith("=")) writeFileSync(join(copy, path), reader.readFile(path));
  }
  const status = Bun.spawnSync(["git", "-c", "safe.directory=*", "status", "--short"], {
    cwd: join(copy, "s"),
  });
  expect([status.exitCode, status.stdout.toString()]).toEqual([0, ""]);
});

gitTest("repositories with SHA-256, by git's daemon, and from plain files", async () => {
  const other = new TestRepository(join(folder, "sha256.git"), ["--object-format=sha256"]);
  const commit = other.commit({ foo: "foo of 256" }, "v1");
  for (const end of ["", "#v1", `#${commit}`]) {
    expect(await contentOf(`${server.url("sha256.git")}${end}`)).toBe("= foo of 256");
  }
  await using daemon = await serveGitDaemon(folder);
  expect(await contentOf(`${daemon.url}/r.git#side`)).toBe("= foo of side");
  await using files = await serveFiles(repository.path);
  for (const [end, name] of [
    ["#v1", "v1"],
    ["", "main"],
    [`#${commits["v2"]}`, "v2"],
  ]) {
    expect(await contentOf(`${files.url}/.git${end}`)).toBe(`= foo of ${name}`);
  }
});

gitTest("submodules are fetched, but for what is no address on a network", async () => {
  const inner = new TestRepository(join(folder, "inner.git"));
  const pinned = inner.commit({ file: "123" });
  inner.commit({ file: "later" });
  const outer = new TestRepository(join(folder, "outer.git"));
  const link = (url: string): void => {
    outer.git("update-index", "--add", "--cacheinfo", `160000,${pinned},sub/mod`);
    outer.commit({
      ".gitmodules": `[submodule "m"]\n\tpath = sub/mod\n\turl = ${url}\n`,
      foo: url,
    });
  };
  for (const url of ["../inner.git", server.url("inner.git")]) {
    link(url);
    const files = await build(`ADD ${server.url("outer.git")} /r`);
    expect(files["/r/sub/mod/file"]).toBe("= 123");
    expect(files["/r/sub/mod/.git"]).toBeUndefined();
  }
  const mark = join(store.folder, "touched");
  for (const url of [
    `file://${inner.path}`,
    inner.path,
    `ext::touch ${mark}`,
    "ssh://git@localhost/x.git",
    "--upload-pack=touch",
  ]) {
    link(url);
    const problem = await problemOf(`ADD ${server.url("outer.git")} /r`);
    expect(problem).toContain('Cannot fetch the submodule "sub/mod"');
    const files = await build(`ADD ${server.url("outer.git")}?submodules=false /r`);
    expect(files).toMatchObject({ "/r/sub/mod": "dir", "/r/foo": `= ${url}` });
  }
  link("http://169.254.169.254/x.git");
  expect(await problemOf(`ADD ${server.url("outer.git")} /r`)).toContain("169.254.169.254");
  outer.git("rm", "--quiet", "--cached", ".gitmodules");
  outer.commit({});
  expect(await problemOf(`ADD ${server.url("outer.git")} /r`)).toContain(
    "has no URL for its submodule",
  );
  expect(existsSync(mark)).toBe(false);
});

gitTest("no address leads where the build may not go", async () => {
  const redirects = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => {
      const { pathname, search } = new URL(request.url);
      const to = pathname.startsWith("/good/")
        ? `${server.url("r.git")}${pathname.slice("/good/r.git".length)}${search}`
        : `http://169.254.169.254${pathname}${search}`;
      return Response.redirect(to, 301);
    },
  });
  try {
    const at = `http://127.0.0.1:${redirects.port}`;
    expect(await contentOf(`${at}/good/r.git#side`)).toBe("= foo of side");
    expect(await problemOf(`ADD ${at}/bad/r.git /r`)).toContain("Cannot reach");
  } finally {
    await redirects.stop(true);
  }
  expect(await problemOf("ADD http://169.254.169.254/x.git /r")).toContain(
    "Dockerfiles cannot access",
  );
  expect(await problemOf("ADD git://169.254.169.254/x /r")).toContain("Dockerfiles cannot access");
  expect(await problemOf("ADD git@example.com:a/b.git /r")).toContain("SSH is not supported");
  for (const network of ["none", "host"] as const) {
    const problem = await problemOf(`ADD ${server.url("r.git")}#${commits["v1"]} /r`, { network });
    expect(problem).toContain(`the build has --net ${network}`);
  }
});

gitTest("git's own protocol goes to the address that was looked at, by the name", async () => {
  let said = "";
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket, bytes) {
        said += bytes.toString("latin1");
        if (said.length >= 4 && said.length >= Number.parseInt(said.slice(0, 4), 16)) socket.end();
      },
    },
  });
  try {
    const url = new URL(`git://name.invalid:${listener.port}/a/r.git`);
    const options = { address: "127.0.0.1", signal: undefined };
    const home = gitHome(join(store.folder, "pinned"), { url, ...options });
    await git(home, ["ls-remote", REMOTE]);
    expect(said).toContain(`/a/r.git\0host=name.invalid:${listener.port}\0`);
  } finally {
    listener.stop(true);
  }
});

gitTest("a tree of more files than anybody has is refused before it is checked out", async () => {
  const bomb = new TestRepository(join(folder, "bomb.git"));
  writeFileSync(join(bomb.path, "file"), "x");
  let inner = `100644 blob ${bomb.git("hash-object", "-w", "file")}`;
  for (let depth = 0; depth < 10; depth++) {
    const lines = Array.from({ length: 10 }, (_, index) => `${inner}\t${index}\n`).join("");
    const tree = Bun.spawnSync(["git", "mktree"], { cwd: bomb.path, stdin: Buffer.from(lines) });
    inner = `040000 tree ${tree.stdout.toString().trim()}`;
  }
  const commit = bomb.git("commit-tree", "-m", "bomb", inner.slice("040000 tree ".length));
  bomb.git("update-ref", "refs/heads/main", commit);
  expect(await problemOf(`ADD ${server.url("bomb.git")} /r`)).toContain(
    "has more than 500000 files",
  );
});

gitTest("a commit that was built before is not fetched again, and nothing is left", async () => {
  const single = new TestRepository(join(folder, "single.git"));
  const commit = single.commit({ foo: "foo of single" });
  const own = await serveGit(folder);
  const line = `ADD ${own.url("single.git")}#${commit} /single`;
  try {
    expect((await build(line))["/single/foo"]).toBe("= foo of single");
  } finally {
    await own[Symbol.asyncDispose]();
  }
  expect((await build(line))["/single/foo"]).toBe("= foo of single");
  expect(await problemOf(line, { noCache: true })).toContain("Cannot reach");
  expect(readdirSync(store.paths.builds).filter((name) => name.startsWith("."))).toEqual([]);
});
