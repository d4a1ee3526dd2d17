/** ADD of archives, case by case. */
import { expect } from "bun:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { testBuilds } from "#test/build-cases.ts";
import { dir, file, hardLink, makeTar, symlink } from "#test/tar-build.ts";

const FOO = makeTar([file("foo", "f", { uid: 3, gid: 4, mode: 0o640 })]);
const BAR = makeTar([file("bar", "b")]);

testBuilds({
  "archives are unpacked, however they are compressed": {
    dockerfile: "ADD foo.tar /a\nADD foo.tgz /b/\nADD foo.zst /c",
    context: { "foo.tar": FOO, "foo.tgz": gzipSync(FOO), "foo.zst": zstdCompressSync(FOO) },
    files: {
      "/a": "0:0 dir",
      "/a/foo": "640 3:4 = f",
      "/b": "dir",
      "/b/foo": "640 3:4 = f",
      "/c": "dir",
      "/c/foo": "640 3:4 = f",
    },
  },
  "what is no archive is copied, and what COPY takes": {
    dockerfile:
      "ADD no.tar empty.tar text.gz /a/\nCOPY foo.tar /b/\nADD --unpack=false foo.tar /c/",
    context: {
      "no.tar": "text",
      "empty.tar": makeTar([]),
      "text.gz": gzipSync("text"),
      "foo.tar": FOO,
    },
    check: (reader) => {
      const paths = ["/a/no.tar", "/a/empty.tar", "/a/text.gz", "/b/foo.tar", "/c/foo.tar"];
      const sizes = paths.map((path) => reader.stat(path).size);
      expect(sizes).toEqual([4, 1024, gzipSync("text").length, FOO.length, FOO.length]);
    },
  },
  "archives that a pattern names go into one directory": {
    dockerfile: "ADD *.tar /dest",
    context: { "foo.tar": FOO, "bar.tar": BAR },
    files: { "/dest": "dir", "/dest/foo": "= f", "/dest/bar": "= b" },
  },
  "COPY --from does not unpack": {
    dockerfile: "FROM scratch AS s\nCOPY foo.tar /\nFROM scratch\nCOPY --from=s foo.tar /x/",
    context: { "foo.tar": FOO },
    check: (reader) => expect(reader.stat("/x/foo.tar").size).toBe(FOO.length),
  },
  "--chown is the owner of all of it, --chmod of nothing": {
    dockerfile: "ADD --chown=100:200 --chmod=600 t.tar /out/",
    context: {
      "t.tar": makeTar([file("foo", "f", { uid: 3, mode: 0o644 }), dir("d"), file("i/m", "x")]),
    },
    files: {
      "/out": "755 100:200 dir",
      "/out/foo": "644 100:200 = f",
      "/out/d": "100:200 dir",
      "/out/i": "755 100:200 dir",
      "/out/i/m": "100:200 = x",
    },
  },
  "directories that no entry describes are made": {
    dockerfile: "ADD t.tar /",
    context: { "t.tar": makeTar([dir("etc/dnf"), file("etc/dnf/dnf.conf", "c")]) },
    files: { "/etc": "755 0:0 dir", "/etc/dnf": "dir", "/etc/dnf/dnf.conf": "= c" },
  },
  "directories that are there take what the archive says": {
    dockerfile: "COPY d /d\nADD t.tar /",
    context: { "d/x": "x", "t.tar": makeTar([dir("d", { mode: 0o700, uid: 5, gid: 6 })]) },
    files: { "/d": "700 5:6 dir", "/d/x": "= x" },
  },
  "the target itself stays as it is": {
    dockerfile: "COPY --chmod=711 d /d\nADD t.tar /d",
    context: { "d/x": "x", "t.tar": makeTar([dir("."), file("./y", "y")]) },
    files: { "/d": "711 dir", "/d/x": "= x", "/d/y": "= y" },
  },
  "a link in an archive resolves inside of the target": {
    dockerfile: "ADD t.tar /opt",
    context: {
      "t.tar": makeTar([
        symlink("l", "/"),
        file("l/etc/zz", "z"),
        symlink("up", "../.."),
        file("up/yy", "y"),
      ]),
    },
    files: {
      "/opt": "dir",
      "/opt/l": "-> /",
      "/opt/etc": "dir",
      "/opt/etc/zz": "= z",
      "/opt/up": "-> ../..",
      "/opt/yy": "= y",
    },
  },
  "a link of the image resolves inside of the target": {
    dockerfile: "COPY base /\nADD t.tar /\nADD u.tar /opt",
    context: {
      "base/run/x": "x",
      "base/var/run": { link: "/run" },
      "base/opt/in/y": "y",
      "base/opt/l": { link: "/in" },
      "t.tar": makeTar([
        dir("var/run/act"),
        file("var/run/act/HEAD", "h"),
        hardLink("var/run/act/HEAD.link", "var/run/act/HEAD"),
      ]),
      "u.tar": makeTar([file("l/z", "z")]),
    },
    has: { "/var/run": "-> /run", "/run/act/HEAD": "= h", "/opt/l": "-> /in", "/opt/in/z": "= z" },
    check: (reader) => {
      expect(reader.stat("/run/act/HEAD.link").inode).toBe(reader.stat("/run/act/HEAD").inode);
    },
  },
  "a link that points outside the target is an error": {
    dockerfile: "ADD t.tar /opt",
    context: { "t.tar": makeTar([symlink("l", "/no/such"), file("l/x", "x")]) },
    error: 'Cannot unpack "l/x": the symbolic link "/opt/l" points outside the target',
  },
  "no name leads out of the target": {
    dockerfile: "ADD t.tar /opt",
    context: { "t.tar": makeTar([file("../../a", "1"), file("/b", "2"), file("c/../../d", "3")]) },
    files: { "/opt": "dir", "/opt/a": "= 1", "/opt/b": "= 2", "/opt/d": "= 3" },
  },
  "no hard link leads out of the target": {
    dockerfile: "COPY secret /\nADD t.tar /opt",
    context: { secret: "s", "t.tar": makeTar([hardLink("h", "../secret")]) },
    error: 'Cannot unpack "h": hard link to "../secret", which does not exist',
  },
  "a file takes the place of a directory and of all that is in it": {
    dockerfile: "COPY d /t\nADD t.tar /",
    context: { "d/x": "x", "t.tar": makeTar([file("t", "file")]) },
    files: { "/t": "= file" },
  },
  "a directory takes the place of a file": {
    dockerfile: "COPY f /t\nADD t.tar /",
    context: { f: "f", "t.tar": makeTar([dir("t"), file("t/y", "y")]) },
    files: { "/t": "dir", "/t/y": "= y" },
  },
  "a directory takes the place of a link to one": {
    dockerfile: "COPY base /\nADD t.tar /",
    context: {
      "base/usr/lib/x": "x",
      "base/lib": { link: "usr/lib" },
      "t.tar": makeTar([dir("lib"), file("lib/y", "y")]),
    },
    files: {
      "/usr": "dir",
      "/usr/lib": "dir",
      "/usr/lib/x": "= x",
      "/lib": "dir",
      "/lib/y": "= y",
    },
  },
  "a file takes the place of a link, which is not followed": {
    dockerfile: "COPY base /\nADD t.tar /",
    context: { "base/real": "r", "base/l": { link: "real" }, "t.tar": makeTar([file("l", "new")]) },
    files: { "/real": "= r", "/l": "= new" },
  },
  "a file below a file is an error": {
    dockerfile: "COPY f /t\nADD t.tar /",
    context: { f: "f", "t.tar": makeTar([file("t/y", "y")]) },
    error: '"/t" is not a directory',
  },
  "the last of several entries with one name stays": {
    dockerfile: "COPY d /t\nADD t.tar /",
    context: {
      "d/x": "x",
      "t.tar": makeTar([dir("t"), file("t/a", "1"), file("t", "file"), dir("t"), file("t/b", "2")]),
    },
    files: { "/t": "dir", "/t/b": "= 2" },
  },
  "what an archive replaced is replaced for the next step too": {
    dockerfile: "COPY d /t\nADD t.tar /\nRUN true\nCOPY d /t/\nWORKDIR /t/x",
    context: { "d/y": "y", "t.tar": makeTar([file("t", "file"), file("u", "u")]) },
    error: 'Cannot build line 5 of the Dockerfile: "/t" is not a directory',
  },
  "with a machine in between, the same": {
    dockerfile: "COPY d /t\nRUN true\nADD t.tar /\nRUN true\nADD u.tar /",
    context: {
      "d/y": "y",
      "t.tar": makeTar([file("t", "file")]),
      "u.tar": makeTar([dir("t"), file("t/z", "z")]),
    },
    files: { "/t": "dir", "/t/z": "= z" },
    runs: [{ argv: ["/bin/sh", "-c", "true"] }, { argv: ["/bin/sh", "-c", "true"] }],
  },
  "a name that marks a deleted file is refused": {
    dockerfile: "COPY d /d\nADD t.tar /d",
    context: { "d/x": "x", "t.tar": makeTar([file(".wh.x", "")]) },
    error: 'Cannot copy "/d/.wh.x"',
  },
  "a damaged archive is an error": {
    dockerfile: "ADD t.tar /",
    context: { "t.tar": makeTar([file("a", "a".repeat(2000))]).subarray(0, 1024) },
    error: "Cannot build line 2 of the Dockerfile",
  },
});
