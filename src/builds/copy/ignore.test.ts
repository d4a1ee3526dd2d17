/** .dockerignore, case by case. */
import { testBuilds } from "#test/build-cases.ts";

const TREE = {
  "d/one.txt": "1",
  "d/two.txt": "2",
  "d/sub/three.txt": "3",
  "src/keep": "k",
  "src/lost": "l",
  top: "t",
};

testBuilds({
  "an exception below an ignored directory is there with the directory": {
    dockerfile: "COPY d /o",
    context: { ...TREE, d: { folder: true, mode: 0o711 } },
    ignore: "*\n!d/one.txt\n",
    files: { "/o": "dir", "/o/one.txt": "= 1" },
  },
  "the directory above an exception keeps its mode": {
    dockerfile: "COPY . /o/",
    context: { d: { folder: true, mode: 0o711 }, ...TREE, "d/sub": { folder: true, mode: 0o700 } },
    ignore: "*\n!d/sub/three.txt\n",
    files: { "/o": "dir", "/o/d": "711 dir", "/o/d/sub": "700 dir", "/o/d/sub/three.txt": "= 3" },
  },
  "a pattern names a directory that is there for its exception": {
    dockerfile: "COPY * /o/\nCOPY s*/k* /p/",
    context: TREE,
    ignore: "src\n!src/keep\ntop\nd\n",
    files: { "/o": "dir", "/o/keep": "= k", "/p": "dir", "/p/keep": "= k" },
  },
  "an ignored directory without an exception in it does not exist": {
    dockerfile: "COPY . /o\nCOPY d /p",
    context: TREE,
    ignore: "d\n!d/nothing\n!src/keep\n",
    error:
      'Cannot build line 3 of the Dockerfile: "d" not found in the build context: excluded by .dockerignore',
    hint: 'Add the line "!d" to the end of .dockerignore',
  },
  "a file that is ignored is an error of its own": {
    dockerfile: "COPY top /",
    context: TREE,
    ignore: "t*\n",
    error: '"top" not found in the build context: excluded by .dockerignore',
  },
  "a file that does not exist at all is not blamed on .dockerignore": {
    dockerfile: "COPY tip /",
    context: TREE,
    ignore: "t*\n",
    error: /"tip" not found in the build context$/,
    hint: /^$/,
  },
  "a pattern without a match but an ignored one is no error": {
    dockerfile: "COPY to* /o/",
    context: TREE,
    ignore: "top\n",
    files: {},
  },
  "the last line that matches decides": {
    dockerfile: "COPY . /",
    context: { foo: "1", bar: "2", baz: "3", bay: "4" },
    ignore: "ba*\n!bay\n",
    files: { "/foo": "= 1", "/bay": "= 4" },
  },
  "an exception may be a pattern of any depth": {
    dockerfile: "COPY . /o",
    context: TREE,
    ignore: "*\n!**/t*.txt\n",
    files: {
      "/o": "dir",
      "/o/d": "dir",
      "/o/d/two.txt": "= 2",
      "/o/d/sub": "dir",
      "/o/d/sub/three.txt": "= 3",
    },
  },
  "what is ignored again below an exception does not exist": {
    dockerfile: "COPY . /o",
    context: TREE,
    ignore: "*\n!d\nd/sub\n",
    files: { "/o": "dir", "/o/d": "dir", "/o/d/one.txt": "= 1", "/o/d/two.txt": "= 2" },
  },
  "spaces, slashes, comments and a mark at the beginning": {
    dockerfile: "COPY . /o",
    context: { ...TREE, "#no": "n" },
    ignore: "\uFEFF# d\n  /d/  \n\n./src/../src\r\n \\#no\n",
    files: { "/o": "dir", "/o/top": "= t" },
  },
  "** and single stars": {
    dockerfile: "COPY . /o",
    context: {
      "a.log": "1",
      "x/a.log": "2",
      "x/y/a.log": "3",
      "x/b.tmp": "4",
      "b.tmp": "5",
      "x/keep": "6",
    },
    ignore: "**/*.log\n*/*.tmp\n",
    files: { "/o": "dir", "/o/b.tmp": "= 5", "/o/x": "dir", "/o/x/keep": "= 6", "/o/x/y": "dir" },
  },
  "names are text": {
    dockerfile: "COPY . /o",
    context: { größe: "1", gr: "2", "😀": "3" },
    ignore: "gr??e\n?\n",
    files: { "/o": "dir", "/o/gr": "= 2" },
  },
  "a link whose target is ignored leads nowhere": {
    dockerfile: "COPY l /x",
    context: { ...TREE, l: { link: "top" } },
    ignore: "top\n",
    error: '"l" not found in the build context',
  },
  "an exception of nothing is an error": {
    dockerfile: "COPY . /",
    ignore: "a\n!\n",
    error: "Cannot read line 2 of .dockerignore",
  },
  "a pattern that is none is an error": {
    dockerfile: "COPY . /",
    ignore: "[a\n",
    error: 'Cannot read line 1 of .dockerignore: syntax error in pattern "[a"',
  },
  "files of a stage are not ignored": {
    dockerfile: "FROM scratch AS s\nCOPY d/one.txt /top\nFROM scratch\nCOPY --from=s top /",
    context: TREE,
    ignore: "top\n",
    files: { "/top": "= 1" },
  },
});
