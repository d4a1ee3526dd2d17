/** Builds that need no machine: what is copied where, what the image says of itself, what is cached. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import type { ImageBuild } from "#api/image.ts";
import { openExt4 } from "#ext4/read/reader.ts";
import type { ImageService } from "#images/service.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { openTestStore, type TestStore } from "#test/image-store.ts";
import { listing } from "#test/rootfs-build.ts";
import { dir, file, makeTar, symlink } from "#test/tar-build.ts";

/** Of an image whose base has none. */
const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

let store: TestStore;
let images: ImageService;
let context = "";

beforeEach(() => {
  store = openTestStore();
  images = store.images;
  context = join(store.folder, "context");
  mkdirSync(context);
});

afterEach(() => {
  // Whatever came of the build: nothing is left half-made.
  expect(images.list().map(({ name }) => name)).toEqual(readable());
  expect(readdirSync(store.paths.builds).filter((name) => name.startsWith("."))).toEqual([]);
  store[Symbol.dispose]();
});

function readable(): string[] {
  return images.list().flatMap(({ name, rootfs }) => (existsSync(rootfs) ? [name] : []));
}

function put(files: Record<string, string>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(context, name)), { recursive: true });
    writeFileSync(join(context, name), content);
  }
}

async function build(dockerfile: string, more: Partial<ImageBuild> = {}) {
  const image = await store.builds.build({ name: "made", dockerfile, context, ...more });
  using reader = openExt4(image.rootfs);
  return { image, files: listing(reader) };
}

test("COPY puts files where Docker puts them", async () => {
  put({ "a.txt": "a", "b.txt": "b", "c.md": "c", "sub/d": "d", "sub/deep/e": "e" });
  symlinkSync("../a.txt", join(context, "sub/link"));
  const { files } = await build(`FROM scratch
COPY a.txt /exact
COPY a.txt /folder/
COPY *.txt sub /many/
WORKDIR /built
COPY a.txt .
COPY a.txt renamed
COPY sub /tree
COPY a.txt /tree
COPY ["c.md", "/with space/"]
COPY sub/link /followed
`);
  expect(files).toEqual({
    "/exact": "= a",
    "/folder": "dir",
    "/folder/a.txt": "= a",
    "/many": "dir",
    "/many/a.txt": "= a",
    "/many/b.txt": "= b",
    "/many/d": "= d",
    "/many/deep": "dir",
    "/many/deep/e": "= e",
    "/many/link": "-> ../a.txt",
    "/built": "dir",
    "/built/a.txt": "= a",
    "/built/renamed": "= a",
    "/tree": "dir",
    "/tree/d": "= d",
    "/tree/deep": "dir",
    "/tree/deep/e": "= e",
    "/tree/link": "-> ../a.txt",
    "/tree/a.txt": "= a",
    "/with space": "dir",
    "/with space/c.md": "= c",
    "/followed": "= a",
  });
});

test("owners, permissions and times are what the flags and the files say", async () => {
  put({ script: "x", "etc/passwd": "root:x:0:0\nbob:x:1000:100\n", "etc/group": "staff:x:50:\n" });
  chmodSync(join(context, "script"), 0o4711);
  utimesSync(join(context, "script"), 1000, 1234.5);
  const { image } = await build(`FROM scratch
COPY etc /etc
COPY script /plain
COPY --chown=bob:staff --chmod=0600 script /owned
COPY --chown=5 script /numbered
`);
  using reader = openExt4(image.rootfs);
  expect(reader.stat("/plain")).toMatchObject({
    mode: 0o4711,
    uid: 0,
    mtime_s: 1234,
    mtime_ns: 500_000_000,
  });
  expect(reader.stat("/owned")).toMatchObject({ mode: 0o600, uid: 1000, gid: 50 });
  expect(reader.stat("/numbered")).toMatchObject({ uid: 5, gid: 5 });
});

test(".dockerignore hides files from COPY, but for its exceptions", async () => {
  put({ "keep.ts": "k", "x.log": "x", "deep/y.log": "y", "out/a": "a", "out/keep": "k" });
  const { files } = await build("FROM scratch\nCOPY . /\n", {
    ignore: "**/*.log\nout\n!out/keep\n",
  });
  expect(Object.keys(files)).toEqual(["/deep", "/keep.ts", "/out", "/out/keep"]);
  const error = await bangerErrorOf(build("FROM scratch\nCOPY x.log /\n", { ignore: "*.log" }));
  expect(error).toMatchObject({ code: "not_found" });
  expect(error.message).toContain(
    'line 2 of the Dockerfile: "x.log" not found in the build context',
  );
});

test("no link and no .. leads out of the context", async () => {
  writeFileSync(join(store.folder, "secret"), "secret");
  symlinkSync("../secret", join(context, "out"));
  symlinkSync("/etc", join(context, "abs"));
  for (const source of ["out", "../secret", "abs/passwd", "../../../etc/passwd"]) {
    expect((await bangerErrorOf(build(`FROM scratch\nCOPY ${source} /x\n`))).code).toBe(
      "not_found",
    );
  }
  const { files } = await build("FROM scratch\nCOPY . /\n");
  expect(files).toEqual({ "/abs": "-> /etc", "/out": "-> ../secret" });
});

test("ADD fetches what the build may reach, and nothing that only this computer does", async () => {
  const asked: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      const { pathname } = new URL(request.url);
      asked.push(`${request.headers.get("host")} ${pathname}`);
      return pathname === "/cloud"
        ? Response.redirect("http://169.254.169.254/x")
        : new Response("fetched");
    },
  });
  try {
    const at = `localhost:${server.port}`;
    const { files } = await build(`FROM scratch\nADD http://${at}/file /\n`);
    expect(files).toEqual({ "/file": "= fetched" });
    expect(asked).toEqual([`${at} /file`]);
    const refusals = [
      "http://169.254.169.254/latest/meta-data",
      "http://[::ffff:169.254.169.254]/x",
      "http://2852039166/x",
      "http://168.63.129.16/x",
      "http://[fd00:ec2::254]/x",
      "http://[fe80::a9fe:a9fe]/x",
      "http://0.0.0.0/x",
    ];
    for (const address of refusals) {
      const error = await bangerErrorOf(build(`FROM scratch\nADD ${address} /\n`));
      expect({ address, code: error.code as string }).toEqual({
        address,
        code: "permission_denied",
      });
    }
    const redirected = await bangerErrorOf(build(`FROM scratch\nADD http://${at}/cloud /\n`));
    expect(redirected.message).toContain('redirects to "169.254.169.254"');
    for (const network of ["none", "host"] as const) {
      const refused = build(`FROM scratch\nADD http://${at}/file /\n`, { network });
      expect(await bangerErrorOf(refused)).toMatchObject({
        code: "permission_denied",
        message: expect.stringContaining(`--net ${network}`),
      });
    }
    expect(asked.filter((each) => each.endsWith("/file"))).toHaveLength(1);
  } finally {
    await server.stop(true);
  }
});

test("ADD unpacks archives, and copies what is none", async () => {
  const tar = makeTar([dir("d", { mode: 0o700, uid: 3 }), file("d/f", "in"), symlink("s", "d/f")]);
  writeFileSync(join(context, "plain.tar"), tar);
  writeFileSync(join(context, "small.tgz"), gzipSync(tar));
  writeFileSync(join(context, "no.gz"), gzipSync("only text"));
  writeFileSync(join(context, "bad.tar"), makeTar([file("../escape", "no")]));
  const { files, image } = await build(`FROM scratch
ADD plain.tar /a
ADD small.tgz no.gz /b/
`);
  const unpacked = { "/d": "dir", "/d/f": "= in", "/s": "-> d/f" };
  for (const [path, what] of Object.entries(unpacked)) {
    expect([files[`/a${path}`], files[`/b${path}`]]).toEqual([what, what]);
  }
  expect(files["/b/no.gz"]).toBeDefined();
  using reader = openExt4(image.rootfs);
  expect(reader.stat("/a/d")).toMatchObject({ mode: 0o700, uid: 3 });
  expect((await build("FROM scratch\nADD bad.tar /d\n")).files).toEqual({
    "/d": "dir",
    "/d/escape": "= no",
  });
});

test("stages are built on and copied from, and only those that are needed", async () => {
  put({ a: "a", b: "b" });
  const text = `ARG WHICH=base
FROM scratch AS base
COPY a /deep/a
FROM scratch AS unneeded
RUN this cannot run here
FROM \${WHICH} AS next
COPY b /b
FROM scratch
COPY --from=next /deep/ /from-next/
COPY --from=0 / /all/
`;
  const { files } = await build(text);
  expect(files).toEqual({
    "/from-next": "dir",
    "/from-next/a": "= a",
    "/all": "dir",
    "/all/deep": "dir",
    "/all/deep/a": "= a",
  });
  expect((await build(text, { target: "next" })).files).toEqual({
    "/deep": "dir",
    "/deep/a": "= a",
    "/b": "= b",
  });
  expect((await bangerErrorOf(build(text, { target: "nope" }))).code).toBe("not_found");
});

test("a layer goes through the base's symbolic links, and over its files", async () => {
  const base = makeTar([
    dir("usr"),
    dir("usr/bin"),
    symlink("bin", "usr/bin"),
    file("usr/bin/x", "old"),
  ]);
  writeFileSync(join(context, "base.tar"), base);
  put({ x: "new", y: "y" });
  await store.builds.build({ name: "base", dockerfile: "FROM scratch\nADD base.tar /\n", context });
  const { files, image } = await build("FROM base\nCOPY x y /bin/\n");
  expect(files).toMatchObject({ "/bin": "-> usr/bin", "/usr/bin/x": "= new", "/usr/bin/y": "= y" });
  expect(image.layers).toBe(2);
  expect(images.history("made").map(({ createdBy }) => createdBy)).toEqual([
    "ADD base.tar /",
    "COPY x y /bin/",
  ]);
});

test("the configuration follows from the instructions", async () => {
  const { image } = await build(
    `ARG GLOBAL=g
FROM scratch
ARG GLOBAL
ARG OWN=default
ARG NONE
ENV A=$GLOBAL B="$OWN and $A" C=\${NONE:-none}
ENV OLD a  b
LABEL "com.example"="x y" v=$A
EXPOSE 80 53/udp 90-91
USER \${A}:1
WORKDIR /a
WORKDIR b/\${A}
STOPSIGNAL SIGINT
SHELL ["/bin/bash", "-c"]
ENTRYPOINT run it
CMD ["--flag"]
`,
    { args: { OWN: "given" } },
  );
  expect(image.config).toEqual({
    env: [PATH, "A=g", "B=given and ", "C=none", "OLD=a  b"],
    labels: { "com.example": "x y", v: "g" },
    exposedPorts: ["80/tcp", "53/udp", "90/tcp", "91/tcp"],
    user: "g:1",
    workdir: "/a/b/g",
    stopSignal: "SIGINT",
    shell: ["/bin/bash", "-c"],
    entrypoint: ["/bin/bash", "-c", "run it"],
    cmd: ["--flag"],
  });
});

test("a step is taken from the cache as long as what it copies is the same but for its times", async () => {
  put({ a: "one" });
  const text = "FROM scratch\nCOPY a /a\nCOPY --chmod=600 a /b\n";
  const first = await build(text);
  utimesSync(join(context, "a"), 5, 5);
  lutimesSync(join(context, "a"), 5, 5);
  const second = await build(text);
  expect(second.image).toEqual(first.image);
  put({ a: "two" });
  const third = await build(text);
  expect(third.files).toEqual({ "/a": "= two", "/b": "= two" });
  expect(readdirSync(store.paths.builds)).toHaveLength(4);
  expect(images.usage().builds_bytes).toBeGreaterThan(0);
  expect((await images.gc()).steps).toBe(0);
  expect((await images.gc({ all: true })).steps).toBe(4);
  const fourth = await build(text);
  expect(fourth.files).toEqual(third.files);
  const forced = await build(text, { noCache: true });
  expect(forced.image.id).not.toBe(fourth.image.id);
});

test("what cannot be built is said with its line, and leaves nothing", async () => {
  put({ a: "a", b: "b" });
  const cases: [string, string][] = [
    ["COPY a b /file", "end with"],
    ["COPY a", "at least one source"],
    ["COPY a /x\nCOPY b /x/y", '"/x" is not a directory'],
    ["COPY --chown=nobody a /", '"nobody" not found'],
    ["COPY --chmod=u+q a /", 'invalid value for --chmod: "u+q"'],
    ["COPY --parent a /", "unknown flag for COPY: --parent"],
    ["RUN true", "There are no machines here"],
    ["ENV a", 'missing value for "a"'],
    ["EXPOSE x", 'invalid port "x"'],
    ["COPY --from=oci:/nowhere:1 a /", "nowhere"],
    ['ENV A="$' + '{B:?is missing}"', "B: is missing"],
  ];
  for (const [line, problem] of cases) {
    const error = await bangerErrorOf(build(`FROM scratch\n${line}\n`));
    expect(error.message).toContain(problem);
    expect(error.message).toMatch(/^Cannot build line [23] of the Dockerfile: /);
  }
  expect(images.list()).toEqual([]);
});

test("what an image says of itself goes with it: to a layout, back, and to its children", async () => {
  const { image } = await build(`FROM scratch
MAINTAINER someone
VOLUME /data
HEALTHCHECK --interval=1.5s --retries=2 CMD ["a", "b"]
STOPSIGNAL SIGRTMIN+3
SHELL ["/bin/bash", "-c"]
LABEL a=b
EXPOSE 53/udp
ONBUILD RUN x
`);
  const path = join(store.folder, "layout");
  await images.save({ name: "made", format: "oci", path });
  const pulled = await images.pull({ reference: `oci:${path}:made`, name: "pulled" });
  expect(pulled.config).toEqual(image.config);
  expect(pulled.config.healthcheck).toEqual({
    test: ["CMD", "a", "b"],
    interval_ms: 1500,
    retries: 2,
  });
  expect(pulled.config).toMatchObject({ volumes: ["/data"], stopSignal: "SIGRTMIN+3" });
  // The child runs what the base has kept for it.
  const error = await bangerErrorOf(build("FROM pulled", { name: "child" }));
  expect(error.message).toContain("line 1 of the Dockerfile: There are no machines here");
});

test("the path of a reference in a Dockerfile starts at the build context", async () => {
  await build("FROM scratch\nLABEL a=b");
  await images.save({ name: "made", format: "oci", path: join(context, "own") });
  const { image } = await build("FROM oci:own\nLABEL c=d", { name: "child" });
  expect(image.config.labels).toEqual({ a: "b", c: "d" });
  const error = await bangerErrorOf(build("FROM oci:../none", { name: "other" }));
  expect(error.message).toContain(join(context, "../none"));
});
