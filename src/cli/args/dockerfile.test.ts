import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BangerError, type ErrorCode } from "#base/error.ts";
import { readDockerfile, readGivenBytes } from "./dockerfile.ts";

let root: string;
let folder: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "banger-dockerfile-"));
  folder = join(root, "context");
  mkdirSync(folder);
  writeFileSync(join(root, "outside"), "FROM outside\n");
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

const read = (file?: string) => readDockerfile({ folder, file });
const put = (name: string, text: string) => writeFileSync(join(folder, name), text);
const link = (name: string, target: string) => symlinkSync(target, join(folder, name));
const fifo = (name: string) => Bun.spawnSync(["mkfifo", join(folder, name)]);

function expectError(call: () => unknown, code: ErrorCode, message: string): void {
  try {
    call();
  } catch (error) {
    if (!(error instanceof BangerError)) throw error;
    expect(error.code).toBe(code);
    expect(error.message).toContain(message);
    return;
  }
  throw new Error("Expected an error, and there was none");
}

test("Dockerfile comes before dockerfile, and Containerfile last", () => {
  put("Containerfile", "FROM c\n");
  expect(read().dockerfile).toBe("FROM c\n");
  put("dockerfile", "FROM b\n");
  expect(read().dockerfile).toBe("FROM b\n");
  put("Dockerfile", "FROM a\n");
  expect(read().dockerfile).toBe("FROM a\n");
});

test("an ignore file of the Dockerfile's own comes before the context's", () => {
  put("Dockerfile", "FROM a\n");
  put(".containerignore", "c");
  expect(read().ignore).toBe("c");
  put(".dockerignore", "d");
  expect(read().ignore).toBe("d");
  put("Dockerfile.dockerignore", "own");
  expect(read().ignore).toBe("own");
  writeFileSync(join(root, "outside.dockerignore"), "beside");
  expect(read(join(root, "outside")).ignore).toBe("beside");
});

test("a context without a Dockerfile says so", () => {
  expectError(() => read(), "not_found", `no Dockerfile in "${folder}"`);
});

test("a link within the context is followed", () => {
  mkdirSync(join(folder, "docker"));
  put("docker/prod", "FROM prod\n");
  link("Dockerfile", "docker/prod");
  expect(read().dockerfile).toBe("FROM prod\n");
});

for (const target of ["../outside", "/etc/passwd", "/dev/zero", "/proc/self/environ"]) {
  test(`a link of the context to ${target} is refused`, () => {
    link("Dockerfile", target);
    expectError(() => read(), "invalid_argument", "a symbolic link that leaves the build context");
    rmSync(join(folder, "Dockerfile"));
    put("Dockerfile", "FROM a\n");
    link(".dockerignore", target);
    expectError(() => read(), "invalid_argument", "a symbolic link that leaves the build context");
  });
}

test("a FIFO of the context is refused, and not waited for", () => {
  fifo("Dockerfile");
  expectError(() => read(), "invalid_argument", "not a regular file");
  expectError(() => readDockerfile({ folder, file: "/dev/null/x" }), "not_found", "ENOTDIR");
  rmSync(join(folder, "Dockerfile"));
  put("Dockerfile", "FROM a\n");
  fifo(".dockerignore");
  expectError(() => read(), "invalid_argument", "not a regular file");
});

test("a Dockerfile that is named may be anywhere, and has a limit that also ends endless ones", () => {
  link("Dockerfile", "../outside");
  expect(read(join(folder, "Dockerfile")).dockerfile).toBe("FROM outside\n");
  expectError(() => read("/dev/zero"), "limit_exceeded", "larger than 1.0 MiB");
});

test("a named pipe is read to its end, and one that nobody writes to is given up", () => {
  const pipe = join(folder, "pipe");
  expect(Bun.spawnSync(["mkfifo", pipe]).exitCode).toBe(0);
  const read = (max_ms: number) => readGivenBytes(pipe, 1024, { silent_max_ms: max_ms }).toString();
  expectError(() => read(40), "timeout", "nothing is written to this pipe");
  const script = 'sleep 0.1; { printf abc; sleep 0.1; printf def; } > "$1"';
  const writer = Bun.spawn(["sh", "-c", script, "sh", pipe]);
  expect(read(60_000)).toBe("abcdef");
  writer.kill();
});

test("a pipe of the shell is read for as long as its program takes", () => {
  const module = join(import.meta.dir, "dockerfile.ts");
  const code = `const { readGivenBytes: read } = await import(${JSON.stringify(module)});
    for (const path of process.argv.slice(1)) console.log(String(read(path, 1024, { silent_max_ms: 0 })));`;
  const script =
    '"$0" -e "$1" <(sleep 0.2; printf abc; sleep 0.1; printf def) <(true) - < <(sleep 0.2; printf in)';
  const { stdout, stderr } = Bun.spawnSync(["bash", "-c", script, process.execPath, code]);
  expect([stdout.toString(), stderr.toString()]).toEqual(["abcdef\n\nin\n", ""]);
});
