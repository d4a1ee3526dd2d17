/** What is sent, what is left out, and what is refused. A directory stands in for the machine's disk. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestRepository } from "#test/git-server.ts";
import { describeRepository, gitIn } from "#test/workspace-compare.ts";
import { folderGuest } from "#test/workspace-folder.ts";
import { type ImportRequest, importWorkspace } from "./import.ts";

let place: string;
let count = 0;

beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), "banger-import-"));
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

function setUp() {
  const folder = join(place, String(count++));
  const guest = folderGuest(join(folder, "guest"));
  const repo = new TestRepository(join(folder, "repo"));
  const bring = (more: Partial<ImportRequest> = {}) =>
    importWorkspace(guest, {
      ...{ vm: "vm", source: repo.path, path: "/w", folder: join(folder, "record") },
      ...more,
    });
  const write = (name: string, text: string): void => {
    mkdirSync(join(repo.path, name, ".."), { recursive: true });
    writeFileSync(join(repo.path, name), text);
  };
  return { folder, guest, repo, bring, write, there: guest.at("/w") };
}

function commitMany(repo: TestRepository): void {
  for (let at = 0; at < 40; at++) {
    writeFileSync(join(repo.path, `file-${at}`), crypto.getRandomValues(new Uint8Array(20_000)));
  }
  repo.git("add", "--all");
  repo.commit({ "a.txt": "a\n" });
}

test("a second import sends what is missing, and takes away what is gone", async () => {
  const { guest, repo, bring, write, there } = setUp();
  commitMany(repo);
  await bring();
  const first = guest.received_bytes;
  guest.received_bytes = 0;
  expect(await bring()).toMatchObject({ sentFiles: 0, removedFiles: 0 });
  expect(guest.received_bytes).toBeLessThan(first / 10);
  write("new.txt", "new\n");
  rmSync(join(repo.path, "file-1"));
  repo.commit({ "a.txt": "b\n" });
  repo.git("branch", "another");
  expect(await bring()).toMatchObject({ sentFiles: 2, removedFiles: 1 });
  expect(describeRepository(there, {})).toEqual(describeRepository(repo.path, {}));
  expect(gitIn(there, "fsck").stderr).not.toMatch(/missing|error/);
});

test("what the machine added of its own stays, what it changed is not overwritten", async () => {
  const { guest, repo, bring, write, there } = setUp();
  repo.commit({ "a.txt": "a\n", "b.txt": "b\n" });
  await bring();
  writeFileSync(join(there, "build.o"), "built\n");
  write("b.txt", "changed on the host\n");
  await bring();
  expect(existsSync(join(there, "build.o"))).toBe(true);
  writeFileSync(join(there, "b.txt"), "changed inside\n");
  write("b.txt", "again on the host\n");
  guest.received_bytes = 0;
  await expect(bring()).rejects.toThrow("it has changed in the machine: b.txt");
  expect(guest.received_bytes).toBe(0);
  await bring({ force: true });
  expect(readFileSync(join(there, "b.txt"), "utf8")).toBe("again on the host\n");
});

test("commits of the machine are not overwritten", async () => {
  const { repo, bring, there } = setUp();
  repo.commit({ "a.txt": "a\n" });
  await bring();
  gitIn(
    there,
    "-c",
    "user.name=in",
    "-c",
    "user.email=in@e",
    "commit",
    "--allow-empty",
    "-m",
    "in",
  );
  repo.commit({ "b.txt": "b\n" });
  await expect(bring()).rejects.toThrow("it has changed in the machine: HEAD, refs/heads/main");
});

test("an import does not go over files that nobody has imported", async () => {
  const { repo, bring, there } = setUp();
  repo.commit({ "a.txt": "a\n" });
  mkdirSync(there, { recursive: true });
  writeFileSync(join(there, "precious"), "mine\n");
  await expect(bring()).rejects.toThrow('Cannot import to "/w": the directory is not empty');
});

test("files that may hold secrets are left out and named, unless git has them", async () => {
  const { repo, bring, write, there } = setUp();
  repo.commit({ "a.txt": "a\n", "test/server.key": "of the tests\n" });
  write(".env", "TOKEN=1\n");
  write(".env.example", "TOKEN=\n");
  write("conf/id_ed25519", "key\n");
  write("conf/id_ed25519.pub", "public\n");
  write(".aws/credentials", "aws\n");
  const result = await bring();
  expect(result.secrets.toSorted()).toEqual([".aws/credentials", ".env", "conf/id_ed25519"]);
  expect(result.trackedSecrets).toEqual(["test/server.key"]);
  expect(existsSync(join(there, ".env"))).toBe(false);
  expect(existsSync(join(there, ".env.example"))).toBe(true);
  await bring({ includeSecrets: true });
  expect(readFileSync(join(there, ".env"), "utf8")).toBe("TOKEN=1\n");
});

test("ignored files are sent by pattern", async () => {
  const { repo, bring, write, there } = setUp();
  repo.commit({ ".gitignore": "node_modules/\n*.log\n" });
  write("node_modules/x/index.js", "x\n");
  write("debug.log", "log\n");
  await bring({ includeIgnored: ["node_modules/"] });
  expect(existsSync(join(there, "node_modules/x/index.js"))).toBe(true);
  expect(existsSync(join(there, "debug.log"))).toBe(false);
});

test("a history is cut at a depth", async () => {
  const { repo, bring, there } = setUp();
  for (let at = 0; at < 5; at++) repo.commit({ "a.txt": `${at}\n` });
  repo.git("branch", "other", "HEAD~1");
  await bring({ depth: 2 });
  expect(gitIn(there, "rev-list", "--count", "HEAD").stdout).toBe("2\n");
  expect(gitIn(there, "branch", "--list", "other").stdout).toBe("");
  expect(gitIn(there, "fsck").stderr).not.toMatch(/missing|error/);
  expect(gitIn(there, "status", "--porcelain").stdout).toBe("");
});

test("credentials in remote addresses stay on the host, and so do commands", async () => {
  const { repo, bring, there } = setUp();
  repo.commit({ "a.txt": "a\n" });
  repo.git("remote", "add", "origin", "https://ann:s3cret@example.com/x.git");
  repo.git("config", "http.extraHeader", "Authorization: s3cret");
  repo.git("config", "submodule.x.update", "!touch /tmp/x");
  repo.git("config", "core.fsmonitor", "touch /tmp/x");
  await bring();
  const config = readFileSync(join(there, ".git/config"), "utf8");
  expect(config).toContain("https://example.com/x.git");
  expect(config).not.toMatch(/s3cret|touch/);
});

test("a directory that is no repository goes as a tree", async () => {
  const { folder, guest, bring, there } = setUp();
  const source = join(folder, "plain");
  mkdirSync(join(source, "sub/empty"), { recursive: true });
  writeFileSync(join(source, "sub/a"), "a\n", { mode: 0o755 });
  writeFileSync(join(source, ".env"), "TOKEN\n");
  symlinkSync("sub", join(source, "link"));
  expect(await bring({ source })).toMatchObject({ kind: "folder", files: 2, secrets: [".env"] });
  expect(existsSync(join(there, "sub/empty"))).toBe(true);
  expect(readFileSync(join(there, "link/a"), "utf8")).toBe("a\n");
  rmSync(join(source, "sub/a"));
  guest.received_bytes = 0;
  expect(await bring({ source })).toMatchObject({ sentFiles: 1, removedFiles: 1 });
});

test("an import that is cut off leaves no repository, and the next one completes it", async () => {
  const { folder, guest, repo, bring, there } = setUp();
  commitMany(repo);
  const before = describeRepository(repo.path, { withGitDir: true });
  guest.onChunk = (received) => {
    if (received > 500_000) throw new Error("cut off");
  };
  await expect(bring()).rejects.toThrow("cut off");
  await bring().catch(() => {});
  expect(existsSync(join(there, ".git/HEAD"))).toBe(false);
  expect(describeRepository(repo.path, { withGitDir: true })).toEqual(before);
  guest.onChunk = undefined;
  await bring();
  expect(describeRepository(there, {})).toEqual(describeRepository(repo.path, {}));
  expect(existsSync(join(folder, "record/record.json"))).toBe(true);
});

test("a .git that leads to somebody's other repository is refused", async () => {
  const { folder, repo, bring } = setUp();
  repo.commit({ "private.txt": "private\n" });
  const source = join(folder, "hostile");
  mkdirSync(source);
  writeFileSync(join(source, ".git"), `gitdir: ${repo.path}/.git\n`);
  await expect(bring({ source })).rejects.toThrow("does not lead back");
  rmSync(join(source, ".git"));
  symlinkSync(join(repo.path, ".git"), join(source, ".git"));
  await expect(bring({ source })).rejects.toThrow("does not lead back");
  rmSync(join(source, ".git"));
  const own = new TestRepository(source);
  own.commit({ "a.txt": "a\n" });
  writeFileSync(join(source, ".git/commondir"), `${repo.path}/.git\n`);
  await expect(bring({ source })).rejects.toThrow("does not lead back");
});

test("a configured working tree elsewhere is not what is sent", async () => {
  const { folder, repo, bring, there } = setUp();
  const elsewhere = join(folder, "elsewhere");
  mkdirSync(elsewhere);
  writeFileSync(join(elsewhere, "private.txt"), "private\n");
  repo.commit({ "a.txt": "a\n" });
  appendFileSync(join(repo.path, ".git/config"), `[core]\n\tworktree = ${elsewhere}\n`);
  await bring();
  expect(existsSync(join(there, "private.txt"))).toBe(false);
  expect(existsSync(join(there, "a.txt"))).toBe(true);
});
