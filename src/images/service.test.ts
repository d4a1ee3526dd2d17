import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openExt4 } from "#ext4/read/reader.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import {
  insertMachine,
  leftovers,
  makeLayout,
  makeRootfs,
  openTestStore,
  pullLayout,
  refOf,
  type TestStore,
} from "#test/image-store.ts";
import { writeFiles } from "#test/oci-image.ts";
import type { ImageService } from "./service.ts";

let store: TestStore;
let images: ImageService;
beforeEach(() => {
  store = openTestStore();
  images = store.images;
});
afterEach(() => store[Symbol.dispose]());

const pull = (name: string, files?: Record<string, string>) => pullLayout(store, name, files);

test("pull() keeps layers, their digests and the config's words on the record", async () => {
  const made = await makeLayout(store, "app", { hello: "world" });
  const image = await images.pull({ reference: refOf(store, "app"), platform: "amd64" });
  expect(image).toMatchObject({
    name: "app-latest",
    managed: true,
    digest: made.manifest.digest,
    layers: 1,
    files: {},
    config: { cmd: ["/bin/sh"] },
  });
  expect(images.history(image.name)).toEqual([
    {
      created: "",
      createdBy: "",
      comment: "",
      layer: {
        digest: made.layers[0]?.digest ?? "",
        size_bytes: made.layers[0]?.bytes.length ?? 0,
        mediaType: made.layers[0]?.mediaType ?? "",
      },
    },
  ]);
  using reader = openExt4(image.rootfs);
  expect(Buffer.from(reader.readFile("/hello")).toString()).toBe("world");
});

test("a name that is neither here nor in the catalog is told from the near ones, and its registry named", async () => {
  await pull("workbench");
  // Nobody is there, so that no test asks the internet.
  const names = ["HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"];
  const before = names.map((name) => process.env[name]);
  for (const name of names) delete process.env[name];
  process.env["HTTPS_PROXY"] = "http://127.0.0.1:1";
  try {
    for (const [reference, meant] of [
      ["debain", "debian"],
      ["debain:bookworm", "debian"],
      ["wrokbench", "workbench"],
    ] as const) {
      const error = await bangerErrorOf(images.pull({ reference }));
      expect(error.message).toStartWith(
        `no such image "${reference}", not in the catalog either; as docker.io/library/${reference}`,
      );
      expect(error.message).toContain("cannot reach");
      expect(error.hint).toMatch(new RegExp(`^Did you mean .*"${meant}`));
    }
    for (const [reference, name] of [
      ["debian-bookworm", "docker.io/library/debian:bookworm"],
      ["registry.invalid/team/app:v1", "registry.invalid/team/app:v1"],
    ] as const) {
      const { message } = await bangerErrorOf(images.pull({ reference }));
      expect(message).toStartWith(`Cannot pull ${name}: cannot reach`);
    }
  } finally {
    for (const [index, name] of names.entries()) {
      const value = before[index];
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
});

test("pull() of what is here leaves it, and replaces it when it has changed or is forced", async () => {
  const first = await pull("app");
  const again = await images.pull({
    reference: refOf(store, "app"),
    name: "app",
    platform: "amd64",
  });
  expect(again.id).toBe(first.id);
  const kernel = await images.pull({
    reference: refOf(store, "app"),
    name: "app",
    platform: "amd64",
    kernel: "debian-6.12",
  });
  expect(kernel).toMatchObject({ id: first.id, kernel: "debian-6.12" });
  const forced = await images.pull({
    reference: refOf(store, "app"),
    name: "app",
    platform: "amd64",
    force: true,
  });
  expect(forced.id).not.toBe(first.id);
  expect(forced.kernel).toBe("debian-6.12");
  expect(existsSync(first.rootfs)).toBe(false);
  rmSync(join(store.folder, "app"), { recursive: true });
  const changed = await pull("app", { hello: "changed" });
  expect(changed.id).not.toBe(forced.id);
  expect(images.list().map(({ name }) => name)).toEqual(["app"]);
  expect(leftovers(store)).toEqual([changed.id]);
});

test("pull() leaves machines on the image that they were made of, under another name", async () => {
  const old = await pull("app");
  insertMachine(store.db, "testbox", old.id);
  rmSync(join(store.folder, "app"), { recursive: true });
  const fresh = await pull("app", { hello: "changed" });
  expect(images.show("app").id).toBe(fresh.id);
  expect(images.show(old.id)).toMatchObject({ name: `app-${old.id}`, rootfs: old.rootfs });
  expect(existsSync(old.rootfs)).toBe(true);
  expect(await images.gc()).toMatchObject({ images: 0 });
  store.db.run("DELETE FROM vms");
  const { images: gone, freed_bytes } = await images.gc({ dryRun: true });
  expect(gone).toBe(1);
  expect(freed_bytes).toBeGreaterThanOrEqual(old.allocated_bytes);
  expect(await images.gc()).toMatchObject({ images: 1, freed_bytes });
  expect(images.list().map(({ id }) => id)).toEqual([fresh.id]);
  expect(existsSync(old.rootfs)).toBe(false);
});

test("an image that is not here is pulled for who wants it, not for who removes it", async () => {
  const hintOf = (work: () => unknown) => bangerErrorOf(Promise.try(work)).then(({ hint }) => hint);
  expect(await hintOf(() => images.show("nope"))).toBe("Pull it with: banger image pull nope");
  const all = "List images with: banger image list";
  expect(await hintOf(() => images.remove("nope"))).toBe(all);
});

test("remove() refuses while a machine stands on the image or is being made of it", async () => {
  const image = await pull("app");
  const held = images.hold(image.id);
  expect(() => images.remove("app")).toThrow("a machine is being created from it");
  held[Symbol.dispose]();
  held[Symbol.dispose]();
  insertMachine(store.db, "testbox", image.id);
  expect(() => images.remove("app")).toThrow('Cannot remove image "app": in use by testbox');
  expect(existsSync(image.rootfs)).toBe(true);
  store.db.run("DELETE FROM vms");
  images.remove("app");
  expect(images.list()).toEqual([]);
  expect(leftovers(store)).toEqual([]);
});

test("an image whose record cannot be read is one error, keeps its files, and can be removed", async () => {
  const broken = await pull("broken");
  const app = await pull("app");
  store.db.run("UPDATE images SET layers = '[1]' WHERE name = 'broken'");
  expect(images.list().map(({ name }) => name)).toEqual(["app"]);
  expect(() => images.show("broken")).toThrow('Cannot read the record of image "broken": layers.0');
  expect(images.show(app.id).name).toBe("app");
  expect(images.sweep()).toEqual([]);
  await images.gc({ all: true });
  expect(existsSync(broken.rootfs)).toBe(true);
  insertMachine(store.db, "testbox", broken.id);
  expect(() => images.remove("broken")).toThrow("in use by testbox");
  store.db.run("DELETE FROM vms");
  images.remove("broken");
  expect(existsSync(broken.rootfs)).toBe(false);
  expect(images.list().map(({ name }) => name)).toEqual(["app"]);
});

test("sweep() removes what a crash left, and nothing else", async () => {
  const image = await pull("app");
  const rootfs = await makeRootfs(store, "mine.ext4");
  const mine = await images.register({ name: "mine", rootfs });
  const { folder } = store.paths.image(mine.id);
  mkdirSync(join(store.paths.images, "nobodys"));
  mkdirSync(join(store.paths.images, ".staging-half"));
  writeFileSync(join(folder, ".staging-image-files-1"), "half");
  expect(store.reopen().sweep().length).toBe(3);
  expect(store.reopen().sweep()).toEqual([]);
  expect(readdirSync(store.paths.images).sort()).toEqual([image.id, mine.id].sort());
});

test("gc() frees blobs that no image refers to, old transfers and half-made files, and says how much", async () => {
  const blobs = join(store.paths.blobs, "sha256");
  mkdirSync(blobs, { recursive: true });
  const image = await pull("app");
  const layer = images.history("app")[0]?.layer?.digest.slice(7) ?? "";
  const put = (name: string) => writeFileSync(join(blobs, name), Buffer.alloc(8192, 1));
  const [stray, old, recent] = ["a", "b", "c"].map((digit) => digit.repeat(64)) as [
    string,
    string,
    string,
  ];
  for (const name of [layer, image.digest.slice(7), stray, `${old}.partial`, `${recent}.partial`]) {
    put(name);
  }
  utimesSync(join(blobs, `${old}.partial`), 1000, 1000);
  mkdirSync(store.paths.downloads, { recursive: true });
  writeFileSync(
    join(store.paths.downloads, ".staging-image-layer.tar.gz-1"),
    Buffer.alloc(4096, 1),
  );
  writeFileSync(join(store.paths.downloads, ".staging-package"), "not ours");
  mkdirSync(join(store.paths.images, "nobodys"));
  const expected = { blobs: 1, partials: 1, orphans: 2 };
  const planned = await images.gc({ dryRun: true });
  expect(planned).toMatchObject(expected);
  expect(planned.freed_bytes).toBeGreaterThanOrEqual(2 * 8192 + 4096);
  expect(images.usage().reclaimable_bytes).toBe(planned.freed_bytes);
  expect(existsSync(join(blobs, stray))).toBe(true);
  expect(await images.gc()).toEqual(planned);
  expect(readdirSync(blobs).sort()).toEqual(
    [layer, image.digest.slice(7), `${recent}.partial`].sort(),
  );
  expect(readdirSync(store.paths.downloads)).toEqual([".staging-package"]);
  expect(await images.gc()).toEqual({
    images: 0,
    layers: 0,
    blobs: 0,
    steps: 0,
    partials: 0,
    orphans: 0,
    freed_bytes: 0,
  });
  expect(await images.gc({ all: true })).toMatchObject({ blobs: 2, partials: 1 });
  expect(readdirSync(blobs)).toEqual([]);
  expect(existsSync(image.rootfs)).toBe(true);
});

test("a catalog's name is pulled with the kernel that it pairs with, and found by its aliases", async () => {
  await makeLayout(store, "app", { hello: "world" });
  writeFiles(store.folder, {
    "config/images.json": Buffer.from(
      JSON.stringify({
        schema: 1,
        images: [
          {
            name: "mine",
            aliases: ["also-mine"],
            arch: ["amd64", "arm64"],
            description: "Mine",
            kernel: "debian-6.12",
            source: { kind: "registry", reference: refOf(store, "app") },
          },
        ],
      }),
    ),
  });
  const [first] = images.available();
  expect(first).toMatchObject({ name: "mine", kernel: "debian-6.12", pulled: false });
  const image = await images.pull({ reference: "also-mine", platform: "amd64" });
  expect(image).toMatchObject({ name: "mine", kernel: "debian-6.12" });
  expect(store.ensured).toEqual(["debian-6.12"]);
  expect(images.find("also-mine")?.id).toBe(image.id);
  expect(images.available()[0]?.pulled).toBe(true);
  writeFileSync(store.paths.imageCatalog, '{"schema":1,"images":[{"name":"Not a name"}]}');
  const error = await bangerErrorOf(images.pull({ reference: "mine" }));
  expect(error).toMatchObject({ code: "invalid_argument" });
  expect(error.message).toContain("images.json");
});

test("a catalog's name for another architecture is refused, and not taken for a reference", async () => {
  const registry = { kind: "registry", reference: "docker.io/library/app:1" };
  const entries = [
    { name: "app", aliases: ["also"], source: registry },
    { name: "made", source: { kind: "recipe", recipe: "made" } },
  ];
  const own = entries.map((entry) => ({ ...entry, arch: ["arm64"], description: "" }));
  writeFiles(store.folder, {
    "config/images.json": Buffer.from(JSON.stringify({ schema: 1, images: own })),
  });
  const platform = "linux/amd64";
  for (const [reference, hint] of [
    ["also", "banger image pull docker.io/library/app:1"],
    ["made", "banger image list --available"],
  ] as const) {
    const error = await bangerErrorOf(images.pull({ reference, platform }));
    expect(error).toMatchObject({ code: "unsupported", hint: expect.stringContaining(hint) });
    expect(error.message).toContain("available only for arm64");
  }
  const recipe = await bangerErrorOf(images.pull({ reference: "made", platform: "linux/arm64" }));
  expect(recipe).toMatchObject({ code: "unsupported" });
  expect(recipe.message).toContain("recipe");
});
