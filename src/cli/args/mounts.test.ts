import { expect, test } from "bun:test";
import { resolve } from "node:path";
import { errorOf } from "#test/expect-error.ts";
import { parseTmpfs, parseUlimit, parseVolume } from "./mounts.ts";

test("a name is a volume, a path a directory of the host", () => {
  expect(parseVolume("pg_data.1:/var/lib/data")).toEqual({
    volume: "pg_data.1",
    path: "/var/lib/data",
  });
  expect(parseVolume("data:/d:ro")).toEqual({ volume: "data", path: "/d", readOnly: true });
  expect(parseVolume("./src:/src:rw")).toEqual({ source: resolve("src"), path: "/src" });
  expect(parseVolume(".:/src")).toEqual({ source: process.cwd(), path: "/src" });
  expect(parseVolume("/srv:/srv:ro")).toEqual({ source: "/srv", path: "/srv", readOnly: true });
});

test.each([
  ["/data", "Give the volume a name: -v NAME:/data"],
  ["data", "Use NAME:/path"],
  ["data:rel", "Use NAME:/path"],
  ["data:/a:ro:x", "Use NAME:/path"],
  ["data:/a:z", "leave it out"],
  ["my/dir:/a", "For a directory of the host use: -v ./my/dir:/a"],
])("%s is refused, with the way that there is", (text, hint) => {
  const error = errorOf(() => parseVolume(text));
  expect(error).toMatchObject({ code: "invalid_argument" });
  expect(error).toHaveProperty("hint", expect.stringContaining(hint));
});

test("options of a tmpfs and limits are written as docker has them", () => {
  expect(parseTmpfs("/tmp")).toEqual({ path: "/tmp" });
  expect(parseTmpfs("/tmp:rw,size=64M,mode=700")).toEqual({
    path: "/tmp",
    size_bytes: 64 << 20,
    mode: 0o700,
  });
  expect(() => parseTmpfs("/tmp:uid=5")).toThrow('unknown option "uid=5"');
  expect(parseUlimit("nofile=10")).toEqual({ name: "nofile", soft: 10, hard: 10 });
  expect(parseUlimit("core=0:unlimited")).toEqual({ name: "core", soft: 0, hard: -1 });
  expect(parseUlimit("memlock=-1:-1")).toEqual({ name: "memlock", soft: -1, hard: -1 });
  expect(() => parseUlimit("nofile=20:10")).toThrow("over hard limit");
  expect(errorOf(() => parseUlimit("nofiles=1"))).toHaveProperty("hint", "Did you mean nofile?");
  for (const text of ["nofile", "nofile=x", "=1"]) expect(() => parseUlimit(text)).toThrow();
});
