/** The language of Dockerfiles, case by case: variables, stages, configuration, history. */
import { testBuilds } from "#test/build-cases.ts";

/** Of an image whose base has none. */
const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

testBuilds({
  "ENV and LABEL replace variables with what was set before the instruction": {
    dockerfile: 'ENV A=1 B=2\nENV A=$B B=$A C="$A and $B"\nLABEL l=$A$B',
    config: { env: [PATH, "A=2", "B=1", "C=1 and 2"], labels: { l: "21" } },
  },
  "the old form of ENV takes the rest of the line": {
    dockerfile: "ENV A  b   c=d\nENV B $A\\ x\nLABEL l two words",
    config: { env: [PATH, "A=b   c=d", "B=b   c=d x"], labels: { l: "two words" } },
  },
  "names of variables are expanded too, and values keep their equals signs": {
    dockerfile: "ENV N=K\nENV $N=a=b\nLABEL x$N=1",
    config: { env: [PATH, "N=K", "K=a=b"], labels: { xK: "1" } },
  },
  "quotes join words, and single ones keep variables": {
    dockerfile: `ENV A="b c"d E='$A' F="it's" G=a\\ b H=''`,
    config: { env: [PATH, "A=b cd", "E=$A", "F=it's", "G=a b", "H="] },
  },
  "every substitution of the reference": {
    dockerfile: `ENV F=/a/b.tar.gz V=v1.2.3 E=
ENV A=\${F##*/} B=\${F#*/} C=\${F%.*} D=\${F%%.*} G=\${V#v} H=\${V//./_} I=\${V/./-}
ENV J=\${E:-x} K=\${E-x} L=\${N:-y} M=\${V:+set} O=\${E:+set} P=\${E+set} Q=\${V:?no}`,
    config: {
      env: [
        PATH,
        "F=/a/b.tar.gz",
        "V=v1.2.3",
        "E=",
        ...["A=b.tar.gz", "B=a/b.tar.gz", "C=/a/b.tar", "D=/a/b", "G=1.2.3", "H=v1_2_3"],
        ...["I=v1-2.3", "J=x", "K=", "L=y", "M=set", "O=", "P=set", "Q=v1.2.3"],
      ],
    },
  },
  "a substitution that asks for a value ends the build with its message": {
    dockerfile: `ARG V\nENV A=\${V:?"say which"}`,
    error: "line 3 of the Dockerfile: V: say which",
  },
  "the escape character is the file's": {
    dockerfile: "# escape=`\nFROM scratch\nENV A=`$B C=c:\\d `\n  E=f",
    config: { env: [PATH, "A=$B", "C=c:\\d", "E=f"] },
  },
  "FROM scratch has a PATH and a folder": {
    dockerfile: "LABEL a=b",
    config: { env: [PATH], workdir: "/" },
  },
  "a base without PATH gets it in front of what adds to it": {
    dockerfile: `FROM scratch\nENV PATH=\${PATH}:/opt/bin`,
    config: { env: [`${PATH}:/opt/bin`] },
  },
  "ARG with a value on the command line wins over the base's ENV": {
    images: { base: "FROM scratch\nENV V=base\n" },
    dockerfile: "FROM base\nARG V\nLABEL v=$V",
    args: { V: "given" },
    config: { labels: { v: "given" }, env: [PATH, "V=base"] },
  },
  "a bare ARG keeps the value that there is": {
    dockerfile: "ENV V=env\nARG V\nARG W=1\nARG W\nLABEL v=$V w=$W",
    config: { labels: { v: "env", w: "1" } },
  },
  "ARG with a default wins over ENV before it, and ENV over ARG": {
    dockerfile: "ENV A=env\nARG A=arg\nARG B=arg\nENV B=env\nLABEL a=$A b=$B",
    config: { labels: { a: "arg", b: "env" }, env: [PATH, "A=env", "B=env"] },
  },
  "ARG is inherited by the stages that begin with its stage": {
    dockerfile: "FROM scratch AS a\nARG V=1\nFROM a AS b\nLABEL b=$V\nFROM b\nLABEL c=$V",
    config: { labels: { b: "1", c: "1" }, env: [PATH] },
  },
  "ARG of another stage is none": {
    dockerfile: "FROM scratch AS a\nARG V=1\nFROM scratch\nLABEL v=x$V",
    config: { labels: { v: "x" } },
  },
  "ARG before FROM is known behind it once it is named": {
    dockerfile: "ARG V=1 W=2\nFROM scratch\nARG W\nLABEL v=x$V w=x$W",
    config: { labels: { v: "x", w: "x2" } },
  },
  "ARG before FROM sees those above, quoted or not": {
    dockerfile:
      'ARG A="b ase" B=se\nARG C="ba$B"\nFROM scratch AS base\nFROM $C\nARG A C\nLABEL a=$A c=$C',
    config: { labels: { a: "b ase", c: "base" } },
  },
  "the default of an ARG that is passed is not looked at": {
    dockerfile: `ARG V=\${V:?no}\nFROM scratch\nARG W=\${W:?no}\nARG V\nLABEL v=$V$W`,
    args: { V: "1", W: "2" },
    config: { labels: { v: "12" } },
  },
  "several ARGs in one instruction see each other": {
    dockerfile: "ARG A=1 B=x$A\nLABEL b=$B",
    config: { labels: { b: "x1" } },
  },
  "platforms and the stage are known once they are named": {
    dockerfile:
      "FROM scratch AS final\nARG TARGETOS TARGETSTAGE TARGETVARIANT\nLABEL a=$TARGETOS:$TARGETSTAGE:$TARGETVARIANT:$BUILDOS",
    config: { labels: { a: "linux:final::" } },
  },
  "a platform can be passed": {
    dockerfile: "ARG TARGETARCH\nLABEL a=$TARGETARCH",
    args: { TARGETARCH: "riscv64" },
    config: { labels: { a: "riscv64" } },
  },
  "an argument that nothing uses is told": {
    dockerfile: "ARG A\nLABEL a=b",
    args: { A: "1", B: "2", http_proxy: "p" },
    warnings: ["build arguments: B, http_proxy"],
  },
  "stages may have one name, and the last above counts": {
    dockerfile: "FROM scratch AS a\nLABEL n=1\nFROM a AS a\nLABEL m=2\nFROM A",
    config: { labels: { n: "1", m: "2" } },
  },
  "a name of a stage is the same in capitals": {
    dockerfile: "FROM scratch AS Base\nCOPY a /\nFROM scratch\nCOPY --from=BASE /a /b",
    context: { a: "a" },
    files: { "/b": "= a" },
  },
  "a target is a name or a number": {
    dockerfile: "FROM scratch AS a\nLABEL n=a\nFROM scratch\nLABEL n=b\nFROM scratch AS c",
    target: "1",
    config: { labels: { n: "b" } },
  },
  "a target that does not exist names what is": {
    dockerfile: "FROM scratch AS build",
    target: "biuld",
    error: 'no stage "biuld"',
    hint: 'Did you mean "build"?',
  },
  "COPY --from a later stage names its line": {
    dockerfile: "FROM scratch\nCOPY --from=b a /\nFROM scratch AS b",
    target: "0",
    error: 'line 2 of the Dockerfile: stage "b" is defined later, in line 3',
  },
  "COPY --from itself is refused": {
    dockerfile: "FROM scratch AS b\nCOPY --from=b a /",
    error: "is defined later",
  },
  "COPY --from a number that no stage has is refused": {
    dockerfile: "FROM scratch\nCOPY --from=7 a /",
    error: "line 2 of the Dockerfile: no such stage: 7",
  },
  "COPY --from takes no variable": {
    dockerfile: "ARG S=0\nFROM scratch\nARG S\nCOPY --from=$S a /",
    error: "line 4 of the Dockerfile: COPY --from=$S: variables are not supported here",
    hint: "FROM $S AS NAME",
  },
  "FROM without a name says which line and variable": {
    dockerfile: `FROM scratch\nFROM \${NOPE}`,
    error: `line 2 of the Dockerfile: FROM \${NOPE} expands to an empty image name`,
    hint: "--build-arg",
  },
  "a default names the base where no argument does": {
    dockerfile: `FROM scratch AS debug\nLABEL d=1\nFROM \${NOPE:-debug}`,
    config: { labels: { d: "1" } },
  },
  "platforms are the same in every spelling": {
    dockerfile: [
      "FROM scratch AS base",
      ...["linux", "LINUX/AMD64", "linux/x86_64", "linux/x86-64", "amd64", "x86_64"],
      ...["linux/amd64/v1", "$TARGETPLATFORM", "$BUILDPLATFORM", "$TARGETOS/$TARGETARCH"],
    ]
      .join("\nFROM --platform=")
      .replace("--platform=scratch", "scratch")
      .replaceAll(/^FROM --platform=(.*)$/gm, "FROM --platform=$1 plain"),
    images: { plain: "FROM scratch\nLABEL p=1" },
    config: { labels: { p: "1" } },
  },
  "another platform is refused with its common name": {
    dockerfile: "FROM --platform=linux/aarch64 plain",
    images: { plain: "FROM scratch\nLABEL p=1" },
    error: /line 1 of the Dockerfile: RUN steps for linux\/arm64 cannot run on linux/,
  },
  "an empty platform is refused": {
    dockerfile: "FROM --platform=$NOPE plain",
    images: { plain: "FROM scratch\nLABEL p=1" },
    error: "line 1 of the Dockerfile: --platform=$NOPE is empty",
  },
  "WORKDIR is made, and one below another": {
    dockerfile: "ENV D=x\nWORKDIR /a\nWORKDIR b/$D\nWORKDIR ../y/",
    files: { "/a": "755 0:0 dir", "/a/b": "dir", "/a/b/x": "dir", "/a/b/y": "dir" },
    config: { workdir: "/a/b/y" },
  },
  "WORKDIR after USER is the user's, and so is what is above it": {
    context: { "etc/passwd": "root:x:0:0\napp:x:1000:1001\n", "etc/group": "web:x:33:\n" },
    dockerfile: `COPY etc /etc
USER app
WORKDIR /by/name
USER app:web
WORKDIR /by/group
USER 5
WORKDIR /by/number
USER 5:6
WORKDIR /by/both
USER nobody
WORKDIR /by/none
USER root
WORKDIR /by/root`,
    has: {
      "/by": "1000:1001 dir",
      "/by/name": "755 1000:1001 dir",
      "/by/group": "1000:33 dir",
      "/by/number": "5:5 dir",
      "/by/both": "5:6 dir",
      "/by/none": "0:0 dir",
      "/by/root": "0:0 dir",
    },
  },
  "WORKDIR that is there stays whose it is": {
    dockerfile: "WORKDIR /a\nUSER 5\nWORKDIR /a",
    files: { "/a": "0:0 dir" },
  },
  "an empty WORKDIR is refused": {
    dockerfile: "WORKDIR $NOPE",
    error: "line 2 of the Dockerfile: WORKDIR $NOPE expands to an empty path",
  },
  "CMD and ENTRYPOINT in both forms, and empty": {
    dockerfile:
      'FROM scratch AS a\nCMD a "$B"\nENTRYPOINT [ "x", "$y" ]\nFROM scratch\nENTRYPOINT []\nCMD',
    target: "a",
    config: { cmd: ["/bin/sh", "-c", 'a "$B"'], entrypoint: ["x", "$y"] },
  },
  "an empty CMD is a shell without a command": {
    dockerfile: "ENTRYPOINT []\nCMD",
    config: { cmd: ["/bin/sh", "-c", ""], entrypoint: undefined },
  },
  "ENTRYPOINT takes the base's CMD away, and not one of its own": {
    dockerfile: 'FROM scratch AS a\nCMD ["a"]\nFROM a\nENTRYPOINT ["e"]',
    config: { cmd: undefined, entrypoint: ["e"] },
  },
  "what looks like JSON and is none is for the shell": {
    dockerfile: "CMD [ -e /x ] && ['a']",
    config: { cmd: ["/bin/sh", "-c", "[ -e /x ] && ['a']"] },
  },
  "JSON with a number in it is refused": {
    dockerfile: 'CMD ["a", 1]',
    error: "line 2 of the Dockerfile: 1 in the exec form is not a string",
  },
  "SHELL is kept on the image, and stages begin with it": {
    dockerfile: 'FROM scratch AS a\nSHELL ["/bin/ash", "-eo", "x", "-c"]\nFROM a\nCMD b',
    config: { shell: ["/bin/ash", "-eo", "x", "-c"], cmd: ["/bin/ash", "-eo", "x", "-c", "b"] },
  },
  "SHELL of an image is that of its children": {
    images: { base: 'FROM scratch\nSHELL ["/bin/bash", "-c"]' },
    dockerfile: "FROM base\nCMD b",
    config: { cmd: ["/bin/bash", "-c", "b"] },
  },
  "EXPOSE in all its forms": {
    dockerfile:
      'ENV P="5000 5001/udp" E=\nEXPOSE 80 53/UDP 90-91/sctp $P ${E} 8080:81 127.0.0.1:1-2:82\nEXPOSE 80/tcp [::1]:1:83',
    config: {
      exposedPorts: [
        ...["80/tcp", "53/udp", "90/sctp", "91/sctp", "5000/tcp", "5001/udp", "81/tcp", "82/tcp"],
        "83/tcp",
      ],
    },
  },
  "EXPOSE of what is no port is refused": {
    dockerfile: "EXPOSE 80 65536",
    error: 'line 2 of the Dockerfile: invalid port "65536"',
  },
  "VOLUME in both forms, with variables": {
    dockerfile: 'ENV D=/data\nVOLUME $D /b\nVOLUME ["/c d", "${D}/x", "/b"]',
    config: { volumes: ["/data", "/b", "/c d", "/data/x"] },
  },
  "an empty VOLUME is refused": {
    dockerfile: 'VOLUME ["/a", " "]',
    error: "VOLUME with an empty path",
  },
  "HEALTHCHECK with all its flags": {
    dockerfile:
      "HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=2h --start-interval=250ms --retries=4 CMD curl -f $X",
    config: {
      healthcheck: {
        test: ["CMD-SHELL", "curl -f $X"],
        interval_ms: 90_000,
        timeout_ms: 1500,
        startPeriod_ms: 7_200_000,
        startInterval_ms: 250,
        retries: 4,
      },
    },
  },
  "HEALTHCHECK in JSON, and NONE": {
    images: { base: 'FROM scratch\nHEALTHCHECK CMD ["a", "b"]' },
    dockerfile: "FROM base AS a\nFROM base\nHEALTHCHECK none",
    target: "a",
    config: { healthcheck: { test: ["CMD", "a", "b"] } },
  },
  "HEALTHCHECK NONE takes the base's away": {
    images: { base: "FROM scratch\nHEALTHCHECK CMD x" },
    dockerfile: "FROM base\nHEALTHCHECK NONE",
    config: { healthcheck: { test: ["NONE"] } },
  },
  "STOPSIGNAL by name and number": {
    dockerfile: "ENV S=quit\nSTOPSIGNAL 9\nSTOPSIGNAL SIGRTMIN+3\nSTOPSIGNAL $S",
    config: { stopSignal: "quit" },
  },
  "STOPSIGNAL that is none is refused": {
    dockerfile: "STOPSIGNAL SIGNONE",
    error: 'line 2 of the Dockerfile: invalid signal "SIGNONE"',
  },
  "USER, MAINTAINER and LABEL are the base's until they are said anew": {
    images: {
      base: "FROM scratch\nMAINTAINER A B <a@b>\nUSER a\nLABEL x=1 y=2\nVOLUME /v\nEXPOSE 1",
    },
    dockerfile: "FROM base\nLABEL y=3\nUSER ${NOPE:-b}:c\nEXPOSE 2",
    config: {
      author: "A B <a@b>",
      user: "b:c",
      labels: { x: "1", y: "3" },
      volumes: ["/v"],
      exposedPorts: ["1/tcp", "2/tcp"],
    },
  },
  "the history shows instructions with their flags": {
    context: { a: "a" },
    dockerfile:
      'ENV A=1\nCOPY --chown=1:2 --chmod=600 a \\\n  /b\nLABEL "x"=y\nHEALTHCHECK --retries=2 CMD z\nADD <<E /e\ntext\nE',
    history: [
      "ENV A=1",
      "COPY --chown=1:2 --chmod=600 a   /b",
      'LABEL "x"=y',
      "HEALTHCHECK --retries=2 CMD z",
      "ADD <<E /e",
    ],
  },
  "a wrong instruction in a stage that is not needed is an error all the same": {
    dockerfile: "FROM scratch AS a\nCOPPY x y\nFROM scratch",
    error: 'line 2 of the Dockerfile: unknown instruction "COPPY"',
    hint: 'Did you mean "COPY"',
  },
  "a flag that there is not, names one that is near": {
    dockerfile: "COPY --chwon=1 a /",
    error: "line 2 of the Dockerfile: unknown flag for COPY: --chwon",
    hint: '"chown"',
  },
});
