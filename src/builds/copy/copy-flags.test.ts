/** The flags of COPY and ADD, and .dockerignore, case by case. */
import { testBuilds } from "#test/build-cases.ts";

const FILE = { f: { content: "f", mode: 0o644 } };
const MEDIA = {
  "dir1/101.png": "2",
  "dir1/102.txt": "3",
  "dir2/201.pdf": "6",
  "dir2/203.png": "8",
  "dir3/301.mp3": "9",
  "dir3/302.mpeg": "10",
  "dir4/401.txt": "11",
  "dir4/402.txt": { link: "401.txt" },
  "dir4/403.txt": { link: "404.txt" },
};
const DEEP = {
  "a/b/c/d/foo": "foo",
  "a/b/c/d/e/bay": "bay",
  "a/b2/c/d/e/bar": "bar",
  "a/b/c2/d/e/baz": "baz",
  "a/b/c2/d/e2/baz": "baz2",
};

testBuilds({
  "--chmod in octal, also of the directories that are made": {
    dockerfile:
      "ARG m=0413\nCOPY --chmod=0644 f /a\nCOPY --chmod=0 f /b\nCOPY --chmod=770 f /new/sub/f\nCOPY --chmod=$m d /d\nCOPY --chmod=4755 f /s/f",
    context: { ...FILE, "d/e/f": "f" },
    files: {
      "/a": "644 = f",
      "/b": "000 = f",
      "/new": "770 dir",
      "/new/sub": "770 dir",
      "/new/sub/f": "770 = f",
      "/d": "413 dir",
      "/d/e": "413 dir",
      "/d/e/f": "413 = f",
      "/s": "755 dir",
      "/s/f": "4755 = f",
    },
  },
  "--chmod in letters changes what each file and directory has": {
    dockerfile: [
      "COPY --chmod=go-w f /a",
      "COPY --chmod=u=rw,g=r,o=r f /b",
      "COPY --chmod=a+X f /c",
      "COPY --chmod=a+X x /d",
      "COPY --chmod=u=rwX,go=rX t /t",
      "COPY --chmod=+x f /e",
      "COPY --chmod=g=u f /g",
      "COPY --chmod=u+rw,g+rw,o-x,o+w x /h",
      "COPY --chmod=go=u-w f /i",
      "COPY --chmod=u+s,+t f /j",
      "COPY --chmod=a= f /new/k",
    ].join("\n"),
    context: {
      f: { content: "f", mode: 0o666 },
      x: { content: "x", mode: 0o124 },
      "t/d": { folder: true, mode: 0o700 },
      "t/d/run": { content: "r", mode: 0o700 },
      "t/d/read": { content: "r", mode: 0o600 },
    },
    files: {
      "/a": "644 = f",
      "/b": "644 = f",
      "/c": "666 = f",
      "/d": "135 = x",
      "/t": "755 dir",
      "/t/d": "755 dir",
      "/t/d/run": "755 = r",
      "/t/d/read": "644 = r",
      "/e": "777 = f",
      "/g": "666 = f",
      "/h": "766 = x",
      "/i": "644 = f",
      "/j": "5666 = f",
      "/new": "755 dir",
      "/new/k": "000 = f",
    },
  },
  "--chmod of a here-document": {
    dockerfile:
      "COPY --chmod=750 --chown=1:2 <<EOF /run.sh\nhi\nEOF\nCOPY --chmod=u+x <<EOF /x\nhi\nEOF",
    files: { "/run.sh": "750 1:2 = hi\n", "/x": "744 0:0 = hi\n" },
  },
  "--chmod of a number that is none": {
    dockerfile: "COPY --chmod=64a f /",
    context: FILE,
    error: 'invalid value for --chmod: "64a"',
    hint: "octal mode up to 7777",
  },
  "--chmod of too large a number": {
    dockerfile: "ADD --chmod=10000 f /",
    context: FILE,
    error: 'invalid value for --chmod: "10000"',
  },
  "--chmod of letters that mean nothing": {
    dockerfile: "COPY --chmod=u+w,x f /",
    context: FILE,
    error: 'invalid value for --chmod: "u+w,x"',
  },

  "--parents keeps the directories above": {
    dockerfile: "COPY --parents a/b/c/d/foo /\nWORKDIR /w\nCOPY --parents a/b*/c/d/e/ba* .",
    context: { ...DEEP, a: { folder: true, mode: 0o750 } },
    files: {
      "/a": "750 dir",
      "/a/b": "dir",
      "/a/b/c": "dir",
      "/a/b/c/d": "dir",
      "/a/b/c/d/foo": "= foo",
      "/w": "dir",
      "/w/a": "750 dir",
      "/w/a/b": "dir",
      "/w/a/b/c": "dir",
      "/w/a/b/c/d": "dir",
      "/w/a/b/c/d/e": "dir",
      "/w/a/b/c/d/e/bay": "= bay",
      "/w/a/b2": "dir",
      "/w/a/b2/c": "dir",
      "/w/a/b2/c/d": "dir",
      "/w/a/b2/c/d/e": "dir",
      "/w/a/b2/c/d/e/bar": "= bar",
    },
  },
  "--parents keeps what is behind /./ only": {
    dockerfile:
      "COPY --parents a/b/./c/d/ /o/\nCOPY --parents ./a/b2/c /p\nCOPY --parents /a/./b2/./c /q/",
    context: DEEP,
    has: {
      "/o/c/d/foo": "= foo",
      "/o/c/d/e/bay": "= bay",
      "/o/a": "absent",
      "/o/d": "absent",
      "/p/a/b2/c/d/e/bar": "= bar",
      "/q/b2/c/d/e/bar": "= bar",
      "/q/a": "absent",
    },
  },
  "--parents with patterns on both sides of /./": {
    dockerfile: "COPY --parents a/b/c*/./d/**/baz a/b*/./c/**/bar /o/",
    context: DEEP,
    files: {
      "/o": "dir",
      "/o/c": "dir",
      "/o/c/d": "dir",
      "/o/c/d/e": "dir",
      "/o/c/d/e/bar": "= bar",
      "/o/d": "dir",
      "/o/d/e": "dir",
      "/o/d/e/baz": "= baz",
      "/o/d/e2": "dir",
      "/o/d/e2/baz": "= baz2",
    },
  },
  "--parents with ** for any number of directories": {
    dockerfile: "COPY --parents src/**/*.txt /p/",
    context: {
      "src/a.txt": "a",
      "src/x/y/c.txt": "c",
      "src/x/no": "n",
      "src/z/no": "n",
      "b.txt": "b",
    },
    files: {
      "/p": "dir",
      "/p/src": "dir",
      "/p/src/a.txt": "= a",
      "/p/src/x": "dir",
      "/p/src/x/y": "dir",
      "/p/src/x/y/c.txt": "= c",
    },
  },
  "--parents without a match of its pattern makes the target": {
    dockerfile: "COPY --parents a/nope* /o/",
    context: DEEP,
    files: { "/o": "dir" },
  },
  "--parents of what does not exist": {
    dockerfile: "COPY --parents a/b/nope /o/",
    context: DEEP,
    error: '"a/b/nope" not found in the build context',
  },
  "--parents does not follow links": {
    dockerfile: "COPY --parents l/foo /o/",
    context: { "d/foo": "f", l: { link: "d" } },
    error: '"l/foo" in the build context is behind a symbolic link',
  },
  "--parents of everything, from a stage, with an owner": {
    dockerfile:
      "FROM scratch AS s\nCOPY a /x/a\nFROM scratch\nCOPY --from=s --parents --chown=3:4 --chmod=u=rwX,go= /x/./a/b2 /o/\nCOPY --from=s --parents . /all/",
    context: DEEP,
    has: {
      "/o": "755 3:4 dir",
      "/o/a": "700 3:4 dir",
      "/o/a/b2/c/d/e/bar": "600 3:4 = bar",
      "/all/x/a/b/c/d/foo": "= foo",
    },
  },
  "--parents=false is none": {
    dockerfile: "COPY --parents=false a/b/c/d/foo /o/",
    context: DEEP,
    files: { "/o": "dir", "/o/foo": "= foo" },
  },

  "--exclude is relative to the directory that is copied": {
    dockerfile:
      "COPY --exclude=*/*.png . /1\nCOPY --exclude=*.png dir1 /2\nCOPY --exclude=dir1 . /3",
    context: MEDIA,
    has: {
      "/1/dir1/102.txt": "= 3",
      "/1/dir1/101.png": "absent",
      "/1/dir2/203.png": "absent",
      "/1/dir4/402.txt": "-> 401.txt",
      "/1/dir4/403.txt": "-> 404.txt",
      "/2/102.txt": "= 3",
      "/2/101.png": "absent",
      "/3/dir2/201.pdf": "= 6",
      "/3/dir1": "absent",
    },
  },
  "--exclude with a pattern as the source": {
    dockerfile: "ADD --exclude=*.mp* dir* /1\nCOPY --exclude=*.mp3 dir3/ /2/",
    context: MEDIA,
    files: {
      "/1": "dir",
      "/1/101.png": "= 2",
      "/1/102.txt": "= 3",
      "/1/201.pdf": "= 6",
      "/1/203.png": "= 8",
      "/1/401.txt": "= 11",
      "/1/402.txt": "-> 401.txt",
      "/1/403.txt": "-> 404.txt",
      "/2": "dir",
      "/2/302.mpeg": "= 10",
    },
  },
  "--exclude of everything leaves the directory": {
    dockerfile: "ADD --exclude=* dir* /1",
    context: MEDIA,
    files: { "/1": "dir" },
  },
  "--exclude of files that a pattern names": {
    dockerfile: "COPY --exclude=*.txt hom* /x/",
    context: { "home.txt": "1", "homer.md": "2", "hom/a.txt": "3", "hom/b": "4" },
    files: { "/x": "dir", "/x/homer.md": "= 2", "/x/b": "= 4" },
  },
  "--exclude with an exception": {
    dockerfile: "COPY --exclude=**/*.txt --exclude=!**/keep.txt . /x",
    context: { "a.txt": "1", "d/keep.txt": "2", "d/b.txt": "3", "d/c": "4" },
    files: { "/x": "dir", "/x/d": "dir", "/x/d/keep.txt": "= 2", "/x/d/c": "= 4" },
  },
  "--exclude with --parents": {
    dockerfile: "COPY --parents --exclude=**/e a/b/c /x/",
    context: DEEP,
    has: { "/x/a/b/c/d/foo": "= foo", "/x/a/b/c/d/e": "absent" },
  },
  "--exclude of what is no pattern": {
    dockerfile: "COPY --exclude=[ . /x",
    error: 'syntax error in pattern "["',
  },

  "--link does not look at what is there": {
    dockerfile: "COPY base /\nCOPY --link f /tmp/f\nCOPY --link f /bin/f",
    context: { ...FILE, "base/tmp": { folder: true, mode: 0o777 }, "base/bin": { link: "tmp" } },
    files: { "/tmp": "755 dir", "/tmp/f": "= f", "/bin": "755 dir", "/bin/f": "= f" },
  },
  "--link=false follows links": {
    dockerfile: "COPY base /\nCOPY --link=false f /bin/f",
    context: { ...FILE, "base/tmp": { folder: true, mode: 0o777 }, "base/bin": { link: "tmp" } },
    files: { "/tmp": "777 dir", "/tmp/f": "= f", "/bin": "-> tmp" },
  },
  "COPY of an address": {
    dockerfile: "COPY https://localhost/x /",
    error: 'COPY does not support "https://localhost/x", which is an address',
    hint: "Use ADD",
  },
  "--checksum of a local file": {
    dockerfile: "ADD --checksum=sha256:00 f /",
    context: FILE,
    error: 'Cannot verify "f": --checksum requires a URL or git repository',
  },
});
