import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { sha256 } from "#base/digest.ts";
import { MiB } from "#base/size.ts";
import { openExt4 } from "#ext4/read/reader.ts";
import { buildRootfs } from "#images/rootfs/write.ts";
import type { ImageService } from "#images/service.ts";
import { makeElf } from "#test/elf.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import {
  leftovers,
  makeKernel,
  makeRootfs,
  openTestStore,
  pullLayout,
  type TestStore,
} from "#test/image-store.ts";
import { dir, file, makeLayer, makeTar } from "#test/tar-build.ts";

let store: TestStore;
let images: ImageService;
beforeEach(() => {
  store = openTestStore();
  images = store.images;
});
afterEach(() => store[Symbol.dispose]());

const pull = (name: string, files?: Record<string, string>) => pullLayout(store, name, files);

test("register() points at the user's files, and promote() takes them in", async () => {
  const rootfs = await makeRootfs(store, "mine.ext4", makeElf());
  const kernelFile = makeKernel(store);
  const initrd = join(store.folder, "initrd");
  writeFileSync(initrd, "070701and so on");
  const modules = join(store.folder, "modules");
  mkdirSync(join(modules, "6.12.1-test"), { recursive: true });
  writeFileSync(join(modules, "6.12.1-test", "modules.dep"), "");
  const image = await images.register({ name: "mine", rootfs, kernelFile, initrd, modules });
  expect(image).toMatchObject({
    managed: false,
    rootfs,
    reference: `file:${rootfs}`,
    digest: sha256(readFileSync(rootfs)),
    platform: "linux/amd64",
    files: { kernel: kernelFile, initrd, modules },
  });
  expect(() => images.assertUsable("mine")).not.toThrow();

  const promoted = await images.promote("mine");
  const folder = store.paths.image(image.id).folder;
  expect(promoted).toMatchObject({
    id: image.id,
    managed: true,
    rootfs: join(folder, "rootfs.ext4"),
    files: {
      kernel: join(folder, "kernel"),
      initrd: join(folder, "initrd.img"),
      modules: join(folder, "modules"),
    },
  });
  expect<string>(sha256(readFileSync(promoted.rootfs))).toBe(image.digest);
  expect(existsSync(join(folder, "modules/6.12.1-test/modules.dep"))).toBe(true);
  expect(readdirSync(folder).sort()).toEqual(["initrd.img", "kernel", "modules", "rootfs.ext4"]);
  expect(existsSync(rootfs)).toBe(true);
  expect((await bangerErrorOf(images.promote("mine"))).code).toBe("invalid_state");
});

test("promote() with a link gives the user's file a second name", async () => {
  const rootfs = await makeRootfs(store, "mine.ext4");
  await images.register({ name: "mine", rootfs });
  const promoted = await images.promote("mine", { link: true });
  expect(statSync(promoted.rootfs).ino).toBe(statSync(rootfs).ino);
});

test("promote() refuses a rootfs that has changed, and leaves the image as it was", async () => {
  const rootfs = await makeRootfs(store, "mine.ext4");
  const image = await images.register({ name: "mine", rootfs });
  writeFileSync(rootfs, Buffer.concat([readFileSync(rootfs), Buffer.from("x")]));
  expect((await bangerErrorOf(images.promote("mine"))).code).toBe("conflict");
  expect(images.show("mine")).toEqual(image);
  expect(readdirSync(store.paths.image(image.id).folder)).toEqual([]);
});

test("a removed unmanaged image leaves the user's files alone, and one whose files are gone says so", async () => {
  const rootfs = await makeRootfs(store, "mine.ext4");
  await images.register({ name: "mine", rootfs });
  images.remove("mine");
  expect(existsSync(rootfs)).toBe(true);
  await images.register({ name: "mine", rootfs });
  rmSync(rootfs);
  expect(() => images.assertUsable("mine")).toThrow("missing file");
});

test("register() refuses what is not what it is said to be", async () => {
  const rootfs = await makeRootfs(store, "mine.ext4", makeElf({ machine: 183 }));
  const text = join(store.folder, "text");
  writeFileSync(text, "just text ".repeat(1000));
  const managed = await pull("app");
  const none = join(store.folder, "none");
  const kernelFile = makeKernel(store, 183);
  const cases: [Parameters<ImageService["register"]>[0], string, string][] = [
    [{ name: "x", rootfs: text }, "integrity", "not an ext4 file system"],
    [{ name: "x", rootfs: none }, "not_found", "as a rootfs: no such file"],
    [{ name: "x", rootfs: store.folder }, "invalid_argument", "as a rootfs: it is a directory"],
    [{ name: "x", rootfs, kernelFile: none }, "not_found", "as a kernel: no such file"],
    [{ name: "x", rootfs, kernelFile: store.folder }, "invalid_argument", "it is a directory"],
    [{ name: "x", rootfs, kernelFile, initrd: none }, "not_found", "as an initrd: no such file"],
    [
      { name: "x", rootfs, kernelFile, modules: none },
      "not_found",
      "as a modules directory: no such",
    ],
    [{ name: "x", rootfs, workSeed: none }, "not_found", `"${none}" as a work seed: no such file`],
    [{ name: "x", rootfs, kernelFile: text }, "integrity", "not a vmlinux or bzImage"],
    [{ name: "x", rootfs, kernelFile: makeKernel(store) }, "invalid_argument", "is for arm64"],
    [{ name: "x", rootfs, kernel: "none-1.0" }, "not_found", "none-1.0"],
    [
      { name: "x", rootfs, kernel: "a", kernelFile: text },
      "invalid_argument",
      "mutually exclusive",
    ],
    [{ name: "x", rootfs, initrd: text }, "invalid_argument", "require --kernel"],
    [{ name: "app", rootfs }, "already_exists", "the name is already in use"],
    [{ name: "x", rootfs: managed.rootfs }, "invalid_argument", "already belongs to an image"],
    [{ name: "x", rootfs, workSeed: text }, "integrity", "as a work seed"],
  ];
  for (const [request, code, message] of cases) {
    const error = await bangerErrorOf(images.register(request));
    expect([error.code, error.message]).toEqual([
      code as typeof error.code,
      expect.stringContaining(message),
    ]);
  }
  const initrd = await bangerErrorOf(
    images.register({ name: "x", rootfs, kernelFile, initrd: text }),
  );
  expect(initrd.message).toContain("as an initrd");
  const modules = await bangerErrorOf(
    images.register({ name: "x", rootfs, kernelFile, modules: join(store.folder, "app") }),
  );
  expect(modules.message).toContain("as a modules directory");
  expect(images.list().map(({ name }) => name)).toEqual(["app"]);
  expect(leftovers(store)).toEqual([managed.id]);
});

test("tag() gives an image a second name that lives on its own and takes no room", async () => {
  const image = await pull("app");
  const tagged = await images.tag("app", "stable");
  expect(tagged).toMatchObject({ name: "stable", digest: image.digest, managed: true });
  expect(statSync(tagged.rootfs).ino).toBe(statSync(image.rootfs).ino);
  const usage = images.usage();
  expect(
    usage.images.map(({ shared_bytes, allocated_bytes }) => [shared_bytes, allocated_bytes]),
  ).toEqual([0, 1].map(() => [image.allocated_bytes, image.allocated_bytes]));
  expect(usage.images_bytes).toBe(image.allocated_bytes);
  expect((await bangerErrorOf(images.tag("app", "stable"))).code).toBe("already_exists");
  images.remove("app");
  using reader = openExt4(images.show("stable").rootfs);
  expect(Buffer.from(reader.readFile("/hello")).toString()).toBe("app");
});

test("a work seed of a folder, a tar or an ext4 file becomes the same tree below /root", async () => {
  const rootfs = await makeRootfs(store, "mine.ext4");
  const seed = join(store.folder, "seed");
  mkdirSync(join(seed, "deep/er"), { recursive: true });
  writeFileSync(join(seed, "deep/er/file"), "content");
  writeFileSync(join(seed, "empty"), "");
  symlinkSync("deep/er/file", join(seed, "link"));
  const tar = makeTar([
    dir("."),
    dir("./deep"),
    dir("./deep/er"),
    file("./deep/er/file", "content"),
    file("./empty", ""),
    { name: "./link", type: "2", linkName: "deep/er/file" },
  ]);
  const tarPath = join(store.folder, "seed.tar.gz");
  writeFileSync(tarPath, Bun.gzipSync(Buffer.from(tar)));
  const ext4Path = join(store.folder, "seed.ext4");
  await buildRootfs([makeLayer(tar)], { path: ext4Path, seed: sha256("seed") });
  for (const [index, workSeed] of [seed, tarPath, ext4Path].entries()) {
    const image = await images.register({ name: `mine${index}`, rootfs, workSeed });
    expect(image.files.workSeed).toBe(store.paths.image(image.id).workSeed);
    using reader = openExt4(image.files.workSeed ?? "");
    const names = (path: string) =>
      reader
        .list(path)
        .map(({ name }) => Buffer.from(name).toString())
        .sort();
    expect(names("/")).toEqual(["root"]);
    expect(names("/root")).toEqual(["deep", "empty", "link"]);
    expect(Buffer.from(reader.readFile("/root/deep/er/file")).toString()).toBe("content");
    expect(reader.stat("/root/empty")).toMatchObject({ uid: 0, gid: 0, size: 0 });
    expect(Buffer.from(reader.targetOf(reader.stat("/root/link"))).toString()).toBe("deep/er/file");
    expect(reader.stat("/")).toMatchObject({ mode: 0o755, uid: 0 });
  }
  expect((await images.promote("mine0")).files.workSeed).toBeDefined();
});

test("a work seed stays within /root", async () => {
  const rootfs = await makeRootfs(store, "mine.ext4");
  const path = join(store.folder, "seed.tar");
  for (const entries of [
    [file("../etc/passwd", "x")],
    [file("a/../../etc/passwd", "x")],
    [{ name: "out", type: "2", linkName: "/etc" }, file("out/passwd", "x")],
  ]) {
    writeFileSync(path, makeTar(entries));
    const error = await bangerErrorOf(images.register({ name: "mine", rootfs, workSeed: path }));
    expect(error.code).toBe("integrity");
  }
  expect(leftovers(store)).toEqual([]);
});

test("promote() keeps holes", async () => {
  const rootfs = await makeRootfs(store, "mine.ext4");
  truncateSync(rootfs, statSync(rootfs).size + 64 * MiB);
  await images.register({ name: "mine", rootfs });
  const { rootfs: copy } = await images.promote("mine");
  expect(statSync(copy).size).toBe(statSync(rootfs).size);
  expect(statSync(copy).blocks).toBeLessThanOrEqual(statSync(rootfs).blocks + 64);
});
