/** What commands of RUN get, here-documents, and triggers of the base, case by case. */
import { testBuilds } from "#test/build-cases.ts";

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

function shell(...words: string[]): { argv: string[] } {
  return { argv: ["/bin/sh", "-c", ...words] };
}

testBuilds({
  "RUN gets the environment, the folder and the user": {
    dockerfile: "ENV A=1\nARG B=2\nWORKDIR /w\nUSER 5:6\nRUN echo $A",
    files: { "/w": "0:0 dir" },
    runs: [{ ...shell("echo $A"), cwd: "/w", user: "5:6", env: { PATH, A: "1", B: "2" } }],
    history: ["ENV A=1", "ARG B=2", "WORKDIR /w", "USER 5:6", "RUN /bin/sh -c echo $A"],
  },
  "RUN in both forms, and empty": {
    dockerfile: 'RUN ["a", "$B c"]\nRUN [ -e x ] && y\nRUN',
    runs: [{ argv: ["a", "$B c"] }, shell("[ -e x ] && y"), shell("")],
  },
  "RUN is one line, without the comments and empty lines between its own": {
    dockerfile: "RUN a && \\\n  # no\n\n\t# no\n  b \\\n\\\n  c # yes",
    runs: [shell("a &&   b   c # yes")],
  },
  "RUN with JSON of other things than strings is refused": {
    dockerfile: "RUN [1]",
    error: "line 2 of the Dockerfile: 1 in the JSON form is no string",
  },
  "SHELL runs what follows, also in stages above": {
    dockerfile: 'FROM scratch AS a\nSHELL ["ash", "-ec"]\nRUN x\nFROM a\nRUN y\nRUN ["z"]',
    runs: [{ argv: ["ash", "-ec", "x"] }, { argv: ["ash", "-ec", "y"] }, { argv: ["z"] }],
  },
  "commands see an ARG that is empty, and none that has no value": {
    dockerfile: "ARG A\nARG B=\nENV C=\nRUN x",
    runs: [{ env: { PATH, B: "", C: "" } }],
  },
  "commands see a proxy in capitals and not, without an ARG": {
    dockerfile: "ENV NO_PROXY=own\nRUN x",
    args: { http_proxy: "h", NO_PROXY: "n" },
    runs: [{ env: { PATH, HTTP_PROXY: "h", http_proxy: "h", NO_PROXY: "own", no_proxy: "n" } }],
  },
  "a RUN that is only a here-document is its text": {
    dockerfile: "RUN <<EOF\nset -e\necho $A\nEOF\nRUN 3<<-'E O'\n\tx\n\tE O\n",
    runs: [shell("set -e\necho $A\n"), shell("x\n")],
  },
  "a here-document with a shebang is a program that the shell runs": {
    dockerfile: "RUN <<-EOF\n\t#!/bin/awk -f\n\tBEGIN { }\nEOF",
    runs: [{ ...shell("/run/banger-build"), script: "#!/bin/awk -f\nBEGIN { }\n" }],
    history: ["RUN /bin/sh -c #!/bin/awk -f\nBEGIN { }\n"],
  },
  "here-documents of a command are the shell's": {
    dockerfile:
      "RUN cat <<A | tr a b > /x; \\\n  cat <<-B 3<<C <&3\n1\nA\n\t2\n\tB\n3\nC\nRUN after",
    runs: [shell("cat <<A | tr a b > /x;   cat <<-B 3<<C <&3\n1\nA\n\t2\nB\n3\nC"), shell("after")],
  },
  "a << in quotes, in JSON or of another kind begins nothing": {
    dockerfile: 'RUN echo "x <<END y"\nRUN cat <<<x\nRUN ["a", "<<b"]\nRUN $((1<<2))',
    runs: [
      shell('echo "x <<END y"'),
      shell("cat <<<x"),
      { argv: ["a", "<<b"] },
      shell("$((1<<2))"),
    ],
  },
  "a here-document without an end names the line where it began": {
    dockerfile: "COPY a /a\nCOPY <<EOF /b\ntext\n EOF\nRUN x\n",
    error: 'line 3 of the Dockerfile: the here-document "EOF" has no end',
    hint: "a line that is EOF and nothing else",
  },
  "any word names a here-document, and several go into one folder": {
    dockerfile:
      'COPY <<robots.txt <<humans-1.txt \\\n  <<"a b" /www/\nr\nrobots.txt\nh\nhumans-1.txt\nq\na b\n',
    error: "has no end",
  },
  "names with dots, dashes and quotes": {
    dockerfile:
      "COPY <<robots.txt \\\n  <<humans-1.txt <<x'y'z /www/\nr\nrobots.txt\nh\nhumans-1.txt\nq\nxyz\n",
    files: {
      "/www": "dir",
      "/www/robots.txt": "644 0:0 = r\n",
      "/www/humans-1.txt": "= h\n",
      "/www/xyz": "= q\n",
    },
  },
  "a here-document replaces variables unless its name is quoted": {
    dockerfile: `ARG N=world
COPY <<E /plain
Hello \${N}! '$N' "$N" \\$N \\\\ \\
\${NOPE:-none} \${N#w}
E
COPY <<'E' /single
$N \\$
E
COPY <<"E" /double
$N \\\\
E
COPY <<-E /tabs
		$N
	E
COPY <<E /empty
E
`,
    files: {
      "/plain": `= Hello world! 'world' "world" $N \\ \nnone orld\n`,
      "/single": "= $N \\$\n",
      "/double": "= $N \\\\\n",
      "/tabs": "= world\n",
      "/empty": "= ",
    },
  },
  "a here-document keeps its tabs, its comments and its line ends": {
    dockerfile: "COPY <<E /x\r\n# not a comment\r\n\ttab\r\n\r\nE\r\nCOPY <<E /y\n\\\nE\n",
    files: { "/x": "= # not a comment\r\n\ttab\r\n\r\n", "/y": "= \n" },
  },
  "a here-document is no target": {
    dockerfile: "COPY a <<E\nx\nE\n",
    context: { a: "a" },
    error: "line 2 of the Dockerfile: a here-document is no target",
  },
  "here-documents have owners and modes": {
    dockerfile: "COPY --chown=3:4 --chmod=0640 <<E /x\nx\nE\nADD <<E /y/\ny\nE",
    files: { "/x": "640 3:4 = x\n", "/y": "dir", "/y/E": "644 0:0 = y\n" },
  },
  "variables in the JSON form of COPY and ADD": {
    context: { "a b": "1", c: "2" },
    dockerfile: 'ENV A="a b" D=/to\nCOPY ["$A", "c", "${D}/x y/"]\nADD ["c", "/\'$A\'"]',
    files: {
      "/to": "dir",
      "/to/x y": "dir",
      "/to/x y/a b": "= 1",
      "/to/x y/c": "= 2",
      "/$A": "= 2",
    },
  },
  "words of COPY are apart by white space alone": {
    context: { "a\\": "1", b: "2" },
    dockerfile: 'COPY "a b" /x',
    error: 'line 2 of the Dockerfile: The quote " has no end',
  },
  "a variable in COPY is one word": {
    context: { "a b": "1" },
    dockerfile: 'ENV A="a b"\nCOPY $A "/c"',
    files: { "/c": "= 1" },
  },
  "ONBUILD is kept, and done by the child alone": {
    images: {
      base: "FROM scratch\nONBUILD ENV A=1\nONBUILD COPY x /x\nONBUILD LABEL a=$A",
    },
    context: { x: "x" },
    dockerfile: "FROM base AS child\nENV A=2\nFROM child\nLABEL b=$A",
    files: { "/x": "= x" },
    config: { onBuild: undefined, labels: { a: "1", b: "2" } },
    history: ["ENV A=1", "COPY x /x", "LABEL a=$A", "ENV A=2", "LABEL b=$A"],
  },
  "ONBUILD keeps what it was given, in order": {
    dockerfile: "ONBUILD  RUN --network=none  x \\\n  y\nonbuild copy <<E /e\n\tt\nE\n",
    config: { onBuild: ["RUN --network=none  x   y", "copy <<E /e\n\tt\nE"] },
  },
  "ONBUILD of a stage is for the stages that begin with it": {
    dockerfile:
      "FROM scratch AS base\nONBUILD RUN one\nFROM base AS mid\nRUN two\nONBUILD RUN three\nFROM mid",
    runs: [shell("one"), shell("two"), shell("three")],
    config: { onBuild: undefined },
  },
  "ONBUILD copies from a stage of the child": {
    images: { base: "FROM scratch\nONBUILD COPY --from=src /x /y\nONBUILD COPY <<E /e\nt\nE" },
    context: { x: "x" },
    dockerfile: "FROM scratch AS src\nCOPY x /x\nFROM base",
    files: { "/y": "= x", "/e": "= t\n" },
  },
  "ONBUILD of a base that fails names the child's FROM": {
    images: { base: "FROM scratch\nONBUILD COPY nope /" },
    dockerfile: "LABEL a=b\nFROM base",
    error: "line 1 of the Dockerfile: LABEL stands before the first FROM",
  },
  "an error in a trigger is that of the line of FROM": {
    images: { base: "FROM scratch\nONBUILD COPY nope /" },
    dockerfile: "# a comment\n\nFROM base",
    error: 'line 3 of the Dockerfile: The build context has no "nope"',
  },
});
