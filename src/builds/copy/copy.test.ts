/** COPY, case by case: what is named, where it goes, and what it is there. */
import { expect } from "bun:test";
import { testBuilds } from "#test/build-cases.ts";

const TREE = { "d/one": "1", "d/two": "2", "d/sub/three": "3", "d/sub/deep/four": "4" };
const PASSWD = {
  passwd: "root:x:0:0::/:\nbin:x:2:3::/:\napp:x:1000:100::/:\n",
  group: "root:x:0:\nstaff:x:50:app\n",
};
const USERS = "COPY passwd group /etc/\n";

testBuilds({
  "a file goes to the name of the target, or into the directory that it is": {
    dockerfile: "COPY d/one /a\nCOPY d/one /b/\nCOPY d/two /b\nCOPY d/one /c/d/e\nCOPY d/two /c/.",
    context: TREE,
    files: {
      "/a": "= 1",
      "/b": "755 0:0 dir",
      "/b/one": "= 1",
      "/b/two": "= 2",
      "/c": "dir",
      "/c/two": "= 2",
      "/c/d": "dir",
      "/c/d/e": "= 1",
    },
  },
  "a relative target is below the working directory": {
    dockerfile:
      "WORKDIR /w/x\nCOPY d/one .\nCOPY d/one ./a/b\nCOPY d/one ../up\nCOPY d/two ..\nCOPY d/two ../../top",
    context: TREE,
    has: { "/w/x/one": "= 1", "/w/x/a/b": "= 1", "/w/up": "= 1", "/w/two": "= 2", "/top": "= 2" },
  },
  "an empty target is the working directory": {
    dockerfile: "WORKDIR /w\nENV none=\nCOPY d/one $none\nCOPY --link d/two $none",
    context: TREE,
    has: { "/w/one": "= 1", "/w/two": "= 2" },
  },
  "of a directory the content is copied, whatever its name ends with": {
    dockerfile: "COPY d/sub /a\nCOPY d/sub/ /b/\nCOPY d/sub/. c\nCOPY /d/sub /e/f",
    context: TREE,
    has: {
      "/a/three": "= 3",
      "/b/deep/four": "= 4",
      "/c/three": "= 3",
      "/e/f/three": "= 3",
      "/a/sub": "absent",
    },
  },
  "several sources are merged, the later one wins": {
    dockerfile: "COPY d e f /all/",
    context: { ...TREE, "e/two": "II", "e/sub/five": "5", f: "f" },
    has: {
      "/all/one": "= 1",
      "/all/two": "= II",
      "/all/sub/three": "= 3",
      "/all/sub/five": "= 5",
      "/all/f": "= f",
    },
  },
  "directories may be merged into a target without a slash": {
    dockerfile: "COPY d/sub e /all",
    context: { ...TREE, "e/five": "5" },
    has: { "/all/three": "= 3", "/all/five": "= 5" },
  },
  "several files need a directory": {
    dockerfile: "COPY d/one d/two /all",
    context: TREE,
    error: 'with more than one source, the target must be a directory and end with "/"',
  },
  "no .. leads out of the context": {
    dockerfile: "COPY ../../d/one /a\nCOPY d/../../d/two /b",
    context: TREE,
    files: { "/a": "= 1", "/b": "= 2" },
  },
  "the same file again, and a directory again": {
    dockerfile: "COPY d /d\nCOPY d /d\nCOPY d/one /d/one\nCOPY d/two /d/one",
    context: TREE,
    has: { "/d/one": "= 2", "/d/sub/three": "= 3" },
  },
  "names are bytes": {
    dockerfile: "COPY tür.txt t%C3%BCr.txt a+b /\nCOPY t?r.txt /q/",
    context: { "tür.txt": "1", "t%C3%BCr.txt": "2", "a+b": "3" },
    files: {
      "/tür.txt": "= 1",
      "/t%C3%BCr.txt": "= 2",
      "/a+b": "= 3",
      "/q": "dir",
      "/q/tür.txt": "= 1",
    },
  },
  "a variable in the sources and in the target": {
    dockerfile: "ARG from=d\nENV to=/t\nCOPY $from/one $to/x",
    context: TREE,
    files: { "/t": "dir", "/t/x": "= 1" },
  },

  "a link is called as it was asked for, and has the content of its target": {
    dockerfile: "COPY lib/libz.so.1 /lib64/\nCOPY libz /exact",
    context: {
      "lib/libz.so.1": { link: "libz.so.1.2.13" },
      "lib/libz.so.1.2.13": "elf",
      libz: { link: "/lib/libz.so.1" },
    },
    files: { "/lib64": "dir", "/lib64/libz.so.1": "= elf", "/exact": "= elf" },
  },
  "a pattern gives links their own names": {
    dockerfile: "COPY libs/libfoo.so* /c/",
    context: {
      "libs/libfoo.so": { link: "libfoo.so.2" },
      "libs/libfoo.so.2": { link: "libfoo.so.2.1" },
      "libs/libfoo.so.2.1": "elf",
    },
    files: {
      "/c": "dir",
      "/c/libfoo.so": "= elf",
      "/c/libfoo.so.2": "= elf",
      "/c/libfoo.so.2.1": "= elf",
    },
  },
  "links of an earlier stage, absolute ones too": {
    dockerfile:
      "FROM scratch AS build\nCOPY tree /\nFROM scratch\nCOPY --from=build /opt/lib/libz.so /lib64/\nCOPY --from=build /abs/real /rel/real /both/\n",
    context: {
      "tree/opt/lib/libz.so": { link: "libz.so.1" },
      "tree/opt/lib/libz.so.1": "elf",
      "tree/out/real": "r",
      "tree/abs": { link: "/out" },
      "tree/rel": { link: "out" },
    },
    files: { "/lib64": "dir", "/lib64/libz.so": "= elf", "/both": "dir", "/both/real": "= r" },
  },
  "a link to a directory gives the content of that": {
    dockerfile: "COPY l /a\nCOPY l/sub /b\nCOPY l* /c/",
    context: { ...TREE, l: { link: "d" } },
    has: { "/a/one": "= 1", "/b/three": "= 3", "/c/one": "= 1" },
  },
  "links below a directory that is copied stay links": {
    dockerfile: "COPY d /d",
    context: { "d/l": { link: "nowhere" }, "d/a": { link: "/etc" } },
    files: { "/d": "dir", "/d/l": "-> nowhere", "/d/a": "-> /etc" },
  },
  "a link that leads nowhere is an error": {
    dockerfile: "COPY l /x",
    context: { l: { link: "nowhere" } },
    error: '"l" not found in the build context',
  },
  "a pattern that names a link to nowhere is an error": {
    dockerfile: "COPY l* /x/",
    context: { l: { link: "nowhere" } },
    error: 'broken symbolic link "l"',
  },
  "a link does not lead out of the context": {
    dockerfile: "COPY l /x",
    context: { l: { link: "../../../../etc/passwd" }, "etc/passwd": "mine" },
    files: { "/x": "= mine" },
  },

  "a pattern without a match is no error beside another source": {
    dockerfile: "COPY package.json yarn.lock* ./",
    context: { "package.json": "{}" },
    files: { "/package.json": "= {}" },
  },
  "a pattern without a match makes nothing": {
    dockerfile: "COPY nothing* /d/\nCOPY no/thing? /e/",
    files: {},
  },
  "a path that does not exist is an error": {
    dockerfile: "COPY d/one d/nope /x/",
    context: TREE,
    error: 'Cannot build line 2 of the Dockerfile: "d/nope" not found in the build context',
    hint: /^$/,
  },
  "a path is shown as it is written": {
    dockerfile: "COPY ./d/../nope/ /x/",
    context: TREE,
    error: /"\.\/d\/\.\.\/nope\/" not found in the build context$/,
  },
  "patterns are those of filepath.Match": {
    dockerfile: "COPY d/[a-c]?.go d/*.md /x/",
    context: { "d/ab.go": "1", "d/dd.go": "2", "d/.md": "3", "d/a/b.md": "4", "d/b.go": "5" },
    files: { "/x": "dir", "/x/ab.go": "= 1", "/x/.md": "= 3" },
  },
  "** in a source is one level": {
    dockerfile: "COPY **/x /a/\nCOPY d/**/x /b/",
    context: { "d/x": "1", "d/e/x": "2", "d/e/f/x": "3", x: "0" },
    files: { "/a": "dir", "/a/x": "= 1", "/b": "dir", "/b/x": "= 2" },
  },
  "a pattern in the middle names files of each directory": {
    dockerfile: "COPY s/*/dir/foo /a/\nCOPY s/*/dir/foo /b/bar",
    context: { "s/1/dir/foo": "1", "s/2/dir/other": "2" },
    files: { "/a": "dir", "/a/foo": "= 1", "/b": "dir", "/b/bar": "= 1" },
  },
  "a directory that a pattern names gives its content": {
    dockerfile: "COPY s* /a",
    context: { "s1/x": "1", "s2/y/z": "2" },
    files: { "/a": "dir", "/a/x": "= 1", "/a/y": "dir", "/a/y/z": "= 2" },
  },
  "brackets are escaped by brackets": {
    dockerfile: "COPY arr[[]0].txt /",
    context: { "arr[0].txt": "x", "arr0.txt": "y" },
    files: { "/arr[0].txt": "= x" },
  },
  "what is no pattern is an error": {
    dockerfile: "COPY [a /x",
    error: 'syntax error in pattern "[a"',
  },

  "modes and times of files are kept, and they belong to root": {
    dockerfile: "COPY a b /x/",
    context: { a: { content: "1", mode: 0o4711, mtime_s: 5 }, b: { content: "2", mode: 0o400 } },
    files: { "/x": "755 0:0 dir", "/x/a": "4711 0:0 = 1", "/x/b": "400 0:0 = 2" },
  },
  "the directory that is copied to is a new one of root, those below it are the source's": {
    dockerfile: "COPY s /t",
    context: {
      s: { folder: true, mode: 0o700 },
      "s/n": { folder: true, mode: 0o711 },
      "s/n/f": "f",
    },
    files: { "/t": "755 dir", "/t/n": "711 dir", "/t/n/f": "= f" },
  },
  "the directory that is copied to stays as it is, those below it become the source's": {
    dockerfile: `COPY --chown=5:6 --chmod=750 old /t\nCOPY s /t`,
    context: {
      "old/n/x": "x",
      "old/other/x": "x",
      s: { folder: true, mode: 0o700 },
      "s/n": { folder: true, mode: 0o711 },
    },
    files: {
      "/t": "750 5:6 dir",
      "/t/n": "711 0:0 dir",
      "/t/n/x": "750 5:6 = x",
      "/t/other": "750 5:6 dir",
      "/t/other/x": "= x",
    },
  },
  "nested directories that are there take the owner and the mode of the flags": {
    dockerfile: "COPY s /t\nCOPY --chown=7:8 --chmod=701 s /t",
    context: { "s/n/f": "f" },
    files: { "/t": "755 0:0 dir", "/t/n": "701 7:8 dir", "/t/n/f": "701 7:8 = f" },
  },
  "from a stage, owners are kept as well": {
    dockerfile:
      "FROM scratch AS s\nCOPY --chown=3:4 d /d\nFROM scratch\nCOPY --from=s /d /d\nCOPY --from=s /d/sub/three /",
    context: TREE,
    has: {
      "/d": "0:0 dir",
      "/d/sub": "3:4 dir",
      "/d/sub/deep/four": "3:4 = 4",
      "/three": "3:4 = 3",
    },
  },
  "a path of a stage is absolute whatever its working directory": {
    dockerfile:
      "FROM scratch AS s\nWORKDIR /foo\nCOPY d/one /\nFROM scratch\nWORKDIR /w\nCOPY --from=s one .",
    context: TREE,
    has: { "/w/one": "= 1" },
  },

  "hard links stay hard links": {
    dockerfile: "COPY d /d\nCOPY d/a d/b /apart/",
    context: { "d/a": "x", "d/b": { hardLink: "d/a" }, "d/s/c": { hardLink: "d/a" } },
    files: {
      "/d": "dir",
      "/d/a": "= x",
      "/d/b": "= x",
      "/d/s": "dir",
      "/d/s/c": "= x",
      "/apart": "dir",
      "/apart/a": "= x",
      "/apart/b": "= x",
    },
    check: (reader) => {
      const [a, b, c] = ["/d/a", "/d/b", "/d/s/c"].map((path) => reader.stat(path));
      expect([a?.links, b?.inode, c?.inode]).toEqual([3, a?.inode, a?.inode]);
      expect(reader.stat("/apart/a").links).toBe(1);
    },
  },
  "hard links of a stage too": {
    dockerfile: "FROM scratch AS s\nCOPY d /d\nFROM scratch\nCOPY --from=s /d /e",
    context: { "d/a": "x", "d/b": { hardLink: "d/a" } },
    check: (reader) => expect(reader.stat("/e/a").inode).toBe(reader.stat("/e/b").inode),
  },
  "a fifo is copied": {
    dockerfile: "COPY p /p\nCOPY d /d",
    context: { p: { fifo: true, mode: 0o620 }, "d/q": { fifo: true } },
    files: { "/p": "620 fifo", "/d": "dir", "/d/q": "fifo" },
  },

  "a target through a link of the image": {
    dockerfile:
      "COPY base /\nCOPY d/one /bin/\nCOPY d/two /bin/x\nCOPY d/sub /l\nCOPY d/one /gone/",
    context: {
      ...TREE,
      "base/usr/bin/keep": "k",
      "base/bin": { link: "usr/bin" },
      "base/l": { link: "/usr/l2" },
      "base/usr/l2/x": "x",
      "base/gone": { link: "../tmp/there" },
    },
    has: {
      "/bin": "-> usr/bin",
      "/usr/bin/one": "= 1",
      "/usr/bin/x": "= 2",
      "/usr/l2/three": "= 3",
      "/tmp/there/one": "= 1",
    },
  },
  "a file that is named in the target follows a link, one in a directory replaces it": {
    dockerfile: "COPY base /\nCOPY d/one /l\nCOPY d/two /in/",
    context: { ...TREE, "base/l": { link: "real" }, "base/in/two": { link: "../real" } },
    files: { "/l": "-> real", "/real": "= 1", "/in": "dir", "/in/two": "= 2" },
  },
  "a directory over a link to one is an error": {
    dockerfile: "COPY base /\nCOPY root /",
    context: { "base/usr/lib/x": "x", "base/lib": { link: "usr/lib" }, "root/lib/y": "y" },
    error: 'Cannot replace "/lib", which is a symbolic link, with a directory',
    hint: 'copy to "/lib" in a separate instruction',
  },
  "a directory over a file is an error": {
    dockerfile: "COPY d/one /t/sub\nCOPY d /t",
    context: TREE,
    error: 'Cannot replace "/t/sub", which is a file, with a directory',
  },
  "a directory to the name of a file is an error": {
    dockerfile: "COPY d/one /t\nCOPY d /t",
    context: TREE,
    error: '"/t" is not a directory',
  },
  "a file below a file is an error": {
    dockerfile: "COPY d/one /t\nCOPY d/two /t/x/y",
    context: TREE,
    error: '"/t" is not a directory',
  },
  "a file over a directory is an error": {
    dockerfile: "COPY d /t\nCOPY x /",
    context: { ...TREE, "x/t": "file" },
    error: 'Cannot replace the directory "/t" with a file',
  },
  "a file into a directory that has one of its name is an error": {
    dockerfile: "COPY d /t\nCOPY sub /t/",
    context: { ...TREE, sub: "file" },
    error: 'Cannot replace the directory "/t/sub" with a file',
  },
  "a name that marks a deleted file is refused": {
    dockerfile: "COPY d /d",
    context: { "d/.wh.x": "" },
    error: 'Cannot copy "/d/.wh.x"',
  },

  "--chown by number, by name, and by group": {
    dockerfile: `${USERS}COPY --chown=7 f /a\nCOPY --chown=7:8 f /b\nCOPY --chown=app f /c\nCOPY --chown=bin:staff f /d\nCOPY --chown=:staff f /e\nCOPY --chown=app: f /g`,
    context: { ...PASSWD, f: "f" },
    has: {
      "/a": "7:7 = f",
      "/b": "7:8 = f",
      "/c": "1000:100 = f",
      "/d": "2:50 = f",
      "/e": "0:50 = f",
      "/g": "1000:100 = f",
    },
  },
  "--chown with variables, and for the directories that are made": {
    dockerfile: `${USERS}ARG g\nENV u=app\nCOPY --chown=$u:$g f /new/dir/\nCOPY --chown=$u d /n`,
    context: { ...PASSWD, ...TREE, f: "f" },
    args: { g: "staff" },
    has: {
      "/new": "1000:50 dir",
      "/new/dir": "1000:50 dir",
      "/new/dir/f": "1000:50 = f",
      "/n": "1000:100 dir",
      "/n/sub/deep": "1000:100 dir",
    },
  },
  "--chown of a name that does not exist": {
    dockerfile: `${USERS}COPY --chown=nobody f /a`,
    context: { ...PASSWD, f: "f" },
    error: `"nobody" not found in the image's /etc/passwd`,
  },
});
