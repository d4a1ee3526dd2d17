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
    error: "line 2 of the Dockerfile: 1 in the exec form is not a string",
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
    runs: [
      {
        ...shell("/dev/pipes/EOF"),
        mounted: { "/dev/pipes/EOF": "755 0:0 = #!/bin/awk -f\nBEGIN { }\n" },
      },
    ],
    history: ["RUN /bin/sh -c /dev/pipes/EOF #!/bin/awk -f\nBEGIN { }\n"],
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
    error: 'line 3 of the Dockerfile: unterminated here-document "EOF"',
    hint: "a line that contains only EOF",
  },
  "any word names a here-document, and several go into one folder": {
    dockerfile:
      'COPY <<robots.txt <<humans-1.txt \\\n  <<"a b" /www/\nr\nrobots.txt\nh\nhumans-1.txt\nq\na b\n',
    error: "unterminated",
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
  "a here-document cannot be the target": {
    dockerfile: "COPY a <<E\nx\nE\n",
    context: { a: "a" },
    error: "line 2 of the Dockerfile: a here-document cannot be the target",
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
    error: 'line 2 of the Dockerfile: unterminated quote "',
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
    error: "line 1 of the Dockerfile: LABEL before the first FROM",
  },
  "an error in a trigger is that of the line of FROM": {
    images: { base: "FROM scratch\nONBUILD COPY nope /" },
    dockerfile: "# a comment\n\nFROM base",
    error: 'line 3 of the Dockerfile: "nope" not found in the build context',
  },
});

const SECRET = Buffer.from("s3cret").toString("base64");

testBuilds({
  "the flags of RUN are in the history, and none is the only network that is taken away": {
    dockerfile:
      "RUN --network=none make\nRUN --network=host --security=insecure x\nRUN --network=default y",
    history: [
      "RUN --network=none /bin/sh -c make",
      "RUN --network=host --security=insecure /bin/sh -c x",
      "RUN --network=default /bin/sh -c y",
    ],
    runs: [{ hasNetwork: false }, { hasNetwork: true }, { hasNetwork: true }],
  },
  "a network that there is not is refused": {
    dockerfile: "RUN --network=bridge x",
    error: 'line 2 of the Dockerfile: invalid value for RUN --network: "bridge"',
  },
  "a bind mount is of the context, read-only, at a path below the folder": {
    context: { "src/a": "1", "src/d/b": "2", "src/no.log": "3" },
    ignore: "**/*.log",
    dockerfile:
      "WORKDIR /w\nRUN --mount=source=src,target=in --mount=type=bind,src=/src/a,dst=/f,rw x",
    runs: [
      {
        mounted: {
          "/w/in": {
            "": "755 0:0 directory",
            a: "644 0:0 = 1",
            d: "755 0:0 directory",
            "d/b": "644 0:0 = 2",
          },
          "/f": "644 0:0 = 1",
        },
      },
    ],
    files: { "/w": "dir" },
  },
  "a bind mount without a source is all of the context": {
    context: { a: "1" },
    dockerfile: "RUN --mount=target=/in x",
    runs: [{ mounted: { "/in": { "": "755 0:0 directory", a: "644 0:0 = 1" } } }],
  },
  "mounts come from stages and images, with their owners": {
    context: { a: "1" },
    images: { other: "FROM scratch\nCOPY --chown=5:6 a /o" },
    dockerfile: `FROM scratch AS one
COPY --chmod=600 --chown=3:4 a /d/a
FROM scratch
RUN --mount=from=ONE,source=/d/a,target=/x --mount=type=bind,from=other,target=/y/o,source=o x`,
    runs: [{ mounted: { "/x": "600 3:4 = 1", "/y/o": "644 5:6 = 1" } }],
  },
  "variables in mounts, but not in from": {
    context: { a: "1" },
    dockerfile: "ARG T=/t S=a\nRUN --mount=type=bind,source=$S,target=${T}/x x",
    runs: [{ mounted: { "/t/x": "644 0:0 = 1" } }],
  },
  "a variable in from is refused before anything runs": {
    dockerfile: "RUN x\nRUN --mount=from=$S,target=/x y",
    error:
      'line 3 of the Dockerfile: --mount=from=$S,target=/x: variables are not supported in "from"',
    hint: "use from=NAME",
  },
  "a mount from a later stage is refused": {
    dockerfile: "FROM scratch\nRUN --mount=from=b,target=/x y\nFROM scratch AS b",
    target: "0",
    error: "is defined later",
  },
  "memory, with and without a size": {
    dockerfile: "RUN --mount=type=tmpfs,target=/t --mount=type=tmpfs,size=64m,target=/u x",
    runs: [
      {
        mounts: [
          { kind: "tmpfs", target: "/t", size_bytes: 0 },
          { kind: "tmpfs", target: "/u", size_bytes: 64 << 20 },
        ],
      },
    ],
  },
  "a cache begins empty, as the flag has it, and is kept": {
    dockerfile:
      "RUN --mount=type=cache,id=c1,target=/c,uid=7,gid=8,mode=0700 x\nRUN --mount=type=cache,id=c1,target=/d,sharing=locked y",
    runs: [
      { mounted: { "/c": { "": "700 7:8 directory" } } },
      { mounted: { "/d": { "": "700 7:8 directory" } } },
    ],
  },
  "a cache begins with what it is from": {
    context: { a: "1" },
    dockerfile:
      "FROM scratch AS s\nCOPY a /d/a\nFROM scratch\nRUN --mount=type=cache,target=/c,from=s,source=d x",
    runs: [{ mounted: { "/c": { "": "755 0:0 directory", a: "644 0:0 = 1" } } }],
  },
  "a secret is a file of root's alone, where the flag says or below /run/secrets": {
    request: { secrets: { tok: SECRET } },
    dockerfile:
      "WORKDIR /w\nRUN --mount=type=secret,id=tok --mount=type=secret,id=tok,dst=t,uid=1,gid=2,mode=0440 x",
    runs: [{ mounted: { "/run/secrets/tok": "400 0:0 = s3cret", "/w/t": "440 1:2 = s3cret" } }],
    files: { "/w": "dir" },
  },
  "a secret can be a variable": {
    request: { secrets: { tok: SECRET } },
    dockerfile:
      "RUN --mount=type=secret,id=tok,env=TOKEN --mount=type=secret,src=tok,env=,target=/t x",
    runs: [
      { env: { PATH, TOKEN: "s3cret", tok: "s3cret" }, mounted: { "/t": "400 0:0 = s3cret" } },
    ],
  },
  "a secret that does not exist is no mount": {
    dockerfile: "RUN --mount=type=secret,id=tok x",
    runs: [{ mounts: [] }],
  },
  "a secret that is required and not there ends the build": {
    dockerfile: "RUN --mount=type=secret,id=tok,required x",
    error: 'line 2 of the Dockerfile: secret "tok" was not passed',
    hint: "--secret id=tok,src=FILE",
  },
  "an ssh agent is a socket that SSH_AUTH_SOCK names": {
    request: { ssh: { default: "/host/agent", other: "/host/other" } },
    dockerfile: "RUN --mount=type=ssh x\nRUN --mount=type=ssh,id=other,target=/s,required y",
    runs: [
      {
        env: { PATH, SSH_AUTH_SOCK: "/run/buildkit/ssh_agent.0" },
        mounts: [
          {
            kind: "bind",
            source: "/host/agent",
            target: "/run/buildkit/ssh_agent.0",
            isReadOnly: false,
          },
        ],
      },
      { env: { PATH, SSH_AUTH_SOCK: "/s" } },
    ],
  },
  "an ssh agent that does not exist is no mount, unless it is required": {
    dockerfile: "RUN --mount=type=ssh x\nRUN --mount=type=ssh,required=true y",
    error: 'line 3 of the Dockerfile: ssh agent "default" was not passed',
    hint: "--ssh default",
  },
  "a trigger can mount a stage of the child": {
    context: { a: "1" },
    images: { base: "FROM scratch\nONBUILD RUN --mount=from=src,target=/in x" },
    dockerfile: "FROM scratch AS src\nCOPY a /a\nFROM base",
    runs: [{ mounted: { "/in": { "": "755 0:0 directory", a: "644 0:0 = 1" } } }],
  },
  "mounts that are none are refused before anything runs": {
    dockerfile: "RUN x\nRUN --mount=type=volume,target=/x y",
    error: 'line 3 of the Dockerfile: unknown mount type "volume"',
    hint: "Types: bind, cache",
  },
  "a field that a mount does not have is named": {
    dockerfile: "RUN --mount=type=tmpfs,uid=1,target=/x y",
    error: 'unknown field "uid" for mount type tmpfs',
  },
  "a mount without a target is refused": {
    dockerfile: "RUN --mount=type=cache,id=x y",
    error: "requires a target",
  },
});
