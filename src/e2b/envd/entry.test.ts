import { expect, test } from "bun:test";
import { entryOf, permissionsOf } from "./entry.ts";

test("permissionsOf() writes modes as Go does", () => {
  expect(permissionsOf({ kind: "file", mode: 0o644 })).toBe("-rw-r--r--");
  expect(permissionsOf({ kind: "directory", mode: 0o755 })).toBe("drwxr-xr-x");
  expect(permissionsOf({ kind: "symlink", mode: 0o777 })).toBe("Lrwxrwxrwx");
  expect(permissionsOf({ kind: "directory", mode: 0o1777 })).toBe("dtrwxrwxrwx");
  expect(permissionsOf({ kind: "file", mode: 0o4755 })).toBe("urwxr-xr-x");
});

test("entryOf() has an absolute target for a relative symlink, and sizes as text", () => {
  const info = {
    kind: "symlink",
    mode: 0o777,
    size_bytes: 3,
    uid: 0,
    gid: 1000,
    links: 1,
    modifiedAt: "2026-11-30T00:00:00.000Z",
    target: "../b",
  } as const;
  const names = { user: () => "root", group: (gid: number) => String(gid) };
  expect(entryOf("/srv/x/a", info, names)).toEqual({
    name: "a",
    type: "FILE_TYPE_SYMLINK",
    path: "/srv/x/a",
    size: "3",
    mode: 0o777,
    permissions: "Lrwxrwxrwx",
    owner: "root",
    group: "1000",
    modifiedTime: "2026-11-30T00:00:00.000Z",
    symlinkTarget: "/srv/b",
  });
});
