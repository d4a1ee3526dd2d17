/** The image store in front of a real registry: updates, mirrors, other engines, and everything at once. */
import { afterAll, beforeAll, expect } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BangerError, toBangerError } from "#base/error.ts";
import { openExt4 } from "#ext4/read/reader.ts";
import { parseMirrors } from "#oci/registry/mirrors.ts";
import { openImage } from "#oci/source.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { insertMachine, leftovers, openTestStore } from "#test/image-store.ts";
import { testNeeding } from "#test/needs.ts";
import {
  layoutFiles,
  makeImage,
  makeIndex,
  pushImage,
  pushManifest,
  writeFiles,
} from "#test/oci-image.ts";
import { startProxy } from "#test/proxy.ts";
import { type Registry, startRegistry } from "#test/registry.ts";

const here = testNeeding("docker-registry");
const platform = "linux/amd64";

let folder: string;
let registry: Registry;

beforeAll(async () => {
  if (!Bun.which("docker-registry")) return;
  folder = mkdtempSync(join(tmpdir(), "banger-image-store-"));
  registry = await startRegistry();
});

afterAll(async () => {
  await registry?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

async function publish(name: string, tag: string, files: Record<string, string>) {
  const image = await makeImage({ layers: [files] });
  await pushImage(image, { host: registry.host, name }, [tag]);
  return image;
}

function contentOf(rootfs: string, path: string): string {
  using reader = openExt4(rootfs);
  return Buffer.from(reader.readFile(path)).toString();
}

here("outdated and update follow a tag, and leave what is pinned and what is local", async () => {
  using store = openTestStore();
  const { images } = store;
  const first = await publish("team/app", "v1", { hello: "one" });
  const reference = `${registry.host}/team/app:v1`;
  const pinned = `${registry.host}/team/app@${first.manifest.digest}`;
  const app = await images.pull({ reference, name: "app", platform, kernel: "debian-6.12" });
  await images.pull({ reference: pinned, name: "pinned", platform });
  await images.save({ name: "app", format: "oci", path: join(store.folder, "layout") });
  const local = `oci:${join(store.folder, "layout")}`;
  await images.pull({ reference: local, name: "local", platform });
  const states = async () => (await images.outdated()).map(({ name, state }) => [name, state]);
  expect(await states()).toEqual([
    ["app", "current"],
    ["local", "local"],
    ["pinned", "pinned"],
  ]);
  expect(await images.update("app")).toMatchObject({ changed: false, image: { id: app.id } });

  const second = await publish("team/app", "v1", { hello: "two" });
  expect(await images.outdated(["app"])).toEqual([
    {
      name: "app",
      reference: app.reference,
      state: "outdated",
      digest: first.manifest.digest,
      latest: second.manifest.digest,
    },
  ]);
  insertMachine(store.db, "testbox", app.id);
  const { image, changed } = await images.update("app");
  expect(changed).toBe(true);
  expect(image).toMatchObject({ digest: second.manifest.digest, kernel: "debian-6.12" });
  expect(contentOf(image.rootfs, "/hello")).toBe("two");
  expect(contentOf(images.show(app.id).rootfs, "/hello")).toBe("one");
  expect(await images.update("pinned")).toMatchObject({ changed: false });
  expect(images.show("pinned").digest).toBe(first.manifest.digest);
  expect((await bangerErrorOf(images.update("local"))).code).toBe("invalid_state");
});

here("an index that changed for other platforms only makes no image outdated", async () => {
  using store = openTestStore();
  const mine = await makeImage({ layers: [{ hello: "amd64" }] });
  const target = { host: registry.host, name: "team/multi" };
  const put = async (hello: string) => {
    const other = await makeImage({ layers: [{ hello }], architecture: "arm64" });
    for (const image of [mine, other]) await pushImage(image, target);
    await pushManifest(makeIndex([mine, other]), target, "latest");
    return other;
  };
  await put("one");
  const reference = `${registry.host}/team/multi`;
  await using proxy = await startProxy(registry.host);
  const images = store.reopen({ mirrors: parseMirrors([`${registry.host}=${proxy.host}`]) });
  const pulled = await images.pull({ reference, platform });
  const other = await put("two");
  for (const requests of [2, 1]) {
    proxy.seen.length = 0;
    expect(await images.outdated()).toMatchObject([{ state: "current" }]);
    expect(proxy.seen.filter(({ method }) => method === "HEAD").length).toBe(requests);
  }
  const foreign = await images.pull({ reference, name: "foreign", platform: "linux/arm64" });
  expect(foreign).toMatchObject({ digest: other.manifest.digest, platform: "linux/arm64" });
  expect(pulled).toMatchObject({ digest: mine.manifest.digest, platform });
});

here("a registry that is gone makes an image unknown, and not current", async () => {
  using store = openTestStore();
  await publish("team/app", "gone", { hello: "one" });
  const proxy = await startProxy(registry.host);
  const reference = `${proxy.host}/team/app:gone`;
  await store.images.pull({ reference, platform });
  await proxy[Symbol.asyncDispose]();
  const [state] = await store.images.outdated();
  expect(state).toMatchObject({ state: "unknown", problem: expect.stringContaining("refused") });
});

here("a bundle of the catalog is fetched and verified before it is opened", async () => {
  using store = openTestStore();
  const { images } = store;
  await publish("team/app", "bundle", { hello: "bundle" });
  await images.pull({ reference: `${registry.host}/team/app:bundle`, name: "app", platform });
  const path = join(store.folder, "app.tar");
  await images.save({ name: "app", format: "oci", path });
  const bytes = await Bun.file(path).bytes();
  let sent = bytes;
  using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(sent) });
  const source = {
    kind: "bundle",
    url: `http://127.0.0.1:${server.port}/app.tar`,
    sha256: `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`,
    size_bytes: bytes.length,
  };
  const entry = { name: "mine", arch: ["amd64", "arm64"], description: "Mine", source };
  writeFiles(store.folder, {
    "config/images.json": Buffer.from(JSON.stringify({ schema: 1, images: [entry] })),
  });
  for (const wrong of [bytes.subarray(1), Buffer.concat([bytes, bytes]), bytes.map((x) => x ^ 1)]) {
    sent = wrong;
    const error = await bangerErrorOf(images.pull({ reference: "mine", platform }));
    expect(error.code).toBe("integrity");
  }
  sent = bytes;
  const pulled = await images.pull({ reference: "mine", platform });
  expect(pulled).toMatchObject({ name: "mine", reference: source.url });
  expect(contentOf(pulled.rootfs, "/hello")).toBe("bundle");
  expect(await images.outdated(["mine"])).toMatchObject([{ state: "local" }]);
  expect(leftovers(store).filter((name) => name.startsWith(".staging"))).toEqual([]);
});

here(
  "docker and podman are asked for their images; without them, and without the image, that is said",
  async () => {
    using store = openTestStore();
    for (const [kind, program] of [
      ["docker-daemon", "docker"],
      ["containers-storage", "podman"],
    ] as const) {
      const error = await bangerErrorOf(
        store.images.pull({ reference: `${kind}:banger-test/none:nowhere`, platform }),
      );
      const codes = Bun.which(program) ? ["not_found", "unavailable"] : ["unsupported"];
      expect(codes).toContain(error.code);
      expect(error.message).toContain(program);
    }
    const option = await bangerErrorOf(store.images.pull({ reference: "docker-daemon:--help" }));
    expect(option.code).toBe("invalid_argument");
    expect(leftovers(store)).toEqual([]);
  },
);

here("an image is taken out of another engine's store, and what it gave is removed", async () => {
  using store = openTestStore();
  const made = await makeImage({ layers: [{ hello: "engine" }] });
  writeFiles(join(store.folder, "layout"), layoutFiles([made], { latest: made.manifest }));
  const path = join(store.folder, "saved.tar");
  await store.images.pull({
    reference: `oci:${join(store.folder, "layout")}`,
    name: "a",
    platform,
  });
  await store.images.save({ name: "a", format: "docker", path });
  // The program stands for podman: it gives an archive that podman could have written.
  const programs = join(store.folder, "bin");
  mkdirSync(programs);
  const script = `#!/bin/sh\n[ "$1 $2" = "image save" ] && shift 5 && [ "$2" = "team/app:v1" ] && cp ${path} "$1"\n`;
  writeFileSync(join(programs, "podman"), script, { mode: 0o755 });
  const scratchDir = join(store.folder, "scratch");
  const before = process.env["PATH"];
  process.env["PATH"] = `${programs}:${before}`;
  try {
    const reference = "containers-storage:team/app:v1";
    const options = { cacheDir: store.paths.blobs, scratchDir, platform };
    const opened = await openImage(reference, options);
    expect(opened.reference).toBe(reference);
    expect(opened.layers.length).toBe(1);
    await opened[Symbol.asyncDispose]();
    expect(existsSync(scratchDir)).toBe(false);
    const pulled = await store.images.pull({ reference, platform });
    expect(pulled.name).toBe("app-v1");
    expect(contentOf(pulled.rootfs, "/hello")).toBe("engine");
    // docker with containerd's store saves a layout.
    const layout = join(store.folder, "layout.tar");
    await store.images.save({ name: "a", format: "oci", path: layout });
    const save = `#!/bin/sh\n[ "$1 $2 $3 $5" = "image save --output team/web:v2" ] && cp ${layout} "$4"\n`;
    writeFileSync(join(programs, "docker"), save, { mode: 0o755 });
    const web = await store.images.pull({ reference: "docker-daemon:team/web:v2", platform });
    expect(web.name).toBe("web-v2");
    expect(contentOf(web.rootfs, "/hello")).toBe("engine");
    expect(readdirSync(store.paths.downloads)).toEqual([]);
  } finally {
    process.env["PATH"] = before;
  }
});

here("pulls, updates, tags, removals, pushes and gc at once leave only whole images", async () => {
  using store = openTestStore();
  const { images } = store;
  const NAMES = ["a", "b", "c"];
  const VERSIONS = 4;
  const shared = { shared: "x".repeat(50_000) };
  for (let version = 0; version < VERSIONS; version++) {
    for (const name of NAMES) {
      const own = await makeImage({ layers: [shared, { version: `${name}${version}` }] });
      await pushImage(own, { host: registry.host, name: `stress/${name}` }, [`v${version}`]);
    }
  }
  const expected: BangerError["code"][] = ["not_found", "already_exists", "cancelled"];
  const attempt = async (work: () => Promise<unknown> | undefined): Promise<void> => {
    try {
      await work();
    } catch (error) {
      const { code, message } = toBangerError(error);
      if (!expected.includes(code)) throw new Error(`${code}: ${message}`);
    }
  };
  let seed = 1;
  const random = (count: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((seed / 2 ** 31) * count);
  };
  const steps: (() => Promise<unknown> | undefined)[] = [
    () => {
      const name = NAMES[random(NAMES.length)] ?? "a";
      const reference = `${registry.host}/stress/${name}:v${random(VERSIONS)}`;
      const signal = random(5) === 0 ? AbortSignal.timeout(random(40)) : undefined;
      return images.pull({ reference, name, platform, force: random(4) === 0 }, { signal });
    },
    () => images.gc({ all: random(2) === 0 }),
    async () => images.remove(NAMES[random(NAMES.length)] ?? "a"),
    () => images.tag(NAMES[random(NAMES.length)] ?? "a", `tag${random(3)}`),
    async () => images.remove(`tag${random(3)}`),
    () => images.push(NAMES[random(NAMES.length)] ?? "a", `${registry.host}/stress/out:latest`),
    async () => images.usage(),
  ];
  // All of them end before the first failure is reported, and the store goes.
  const results = await Promise.allSettled(
    Array.from({ length: 8 }, async () => {
      for (let round = 0; round < 25; round++) {
        await attempt(steps[random(3) === 0 ? random(steps.length) : 0] ?? (() => undefined));
      }
    }),
  );
  for (const result of results) if (result.status === "rejected") throw result.reason;
  for (const image of images.list()) {
    expect(contentOf(image.rootfs, "/version")).toMatch(/^[abc]\d$/);
    expect(contentOf(image.rootfs, "/shared")).toBe(shared.shared);
  }
  expect(leftovers(store).sort()).toEqual(
    images
      .list()
      .map(({ id }) => id)
      .sort(),
  );
  await images.gc({ all: true });
  expect(readdirSync(join(store.paths.blobs, "sha256"))).toEqual([]);
  expect(images.usage().reclaimable_bytes).toBe(0);
  for (const name of NAMES) {
    const reference = `${registry.host}/stress/${name}:v0`;
    const pulled = await images.pull({ reference, name, platform, force: true });
    expect(contentOf(pulled.rootfs, "/version")).toBe(`${name}0`);
  }
});
