/** Images from folders and archives, made here in every form that is about. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { hexOf, sha256 } from "#base/digest.ts";
import type { Progress } from "#base/progress.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import {
  descriptor,
  json,
  layoutFiles,
  type MadeImage,
  makeImage,
  makeIndex,
  makeTar,
  writeFiles,
} from "#test/oci-image.ts";
import type { OpenedImage } from "./image.ts";
import { openImage } from "./source.ts";

let folder: string;
let image: MadeImage;
let other: MadeImage;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "banger-source-"));
  image = await makeImage({ layers: [{ a: "one" }, { b: "two".repeat(1000) }] });
  other = await makeImage({ architecture: "arm64", layers: [{ a: "ARM" }] });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function newFolder(): string {
  return mkdtempSync(join(folder, "case-"));
}

function open(text: string, extra: { platform?: string; onProgress?: (p: Progress) => void } = {}) {
  return openImage(text, { cacheDir: join(folder, "cache"), platform: "amd64", ...extra });
}

function makeLayout(tags = { latest: image.manifest }, images = [image, other]): string {
  const dir = newFolder();
  writeFiles(dir, layoutFiles(images, tags));
  return dir;
}

async function archiveOf(files: Record<string, string | Uint8Array>): Promise<string> {
  const path = join(newFolder(), "archive.tar");
  writeFileSync(path, await makeTar(files));
  return path;
}

/** What `docker save` writes, in the old form or with the paths of an OCI layout. */
function dockerFiles(
  { config, tars }: MadeImage,
  options: {
    layerName: (index: number, tar: Uint8Array) => string;
    pack?: (tar: Uint8Array) => Uint8Array;
    tags?: string[];
  },
): Record<string, string | Uint8Array> {
  const { pack = (tar) => tar, layerName, tags = ["thing:1"] } = options;
  const Config = `${hexOf(config.digest)}.json`;
  const names = tars.map((tar, index) => layerName(index, tar));
  return {
    [Config]: config.bytes,
    ...Object.fromEntries(tars.map((tar, index) => [names[index], pack(tar)])),
    "manifest.json": JSON.stringify([{ Config, RepoTags: tags, Layers: names }]),
  };
}

async function read(opened: OpenedImage): Promise<Uint8Array[]> {
  return Promise.all(
    opened.layers.map(async (layer) => Buffer.concat(await Array.fromAsync(layer.compressed()))),
  );
}

async function expectSame(opened: OpenedImage, stored: readonly Uint8Array[]): Promise<void> {
  const bytes = await read(opened);
  expect(bytes.map((each) => sha256(each))).toEqual(stored.map((each) => sha256(each)));
  expect(opened.layers.map(({ digest }) => digest)).toEqual(stored.map((each) => sha256(each)));
  expect(opened.layers.map(({ size }) => size)).toEqual(stored.map(({ length }) => length));
}

const storedOf = ({ layers }: MadeImage) => layers.map(({ bytes }) => bytes);

describe("oci:", () => {
  test("gives the only image, with its digests and progress", async () => {
    const dir = makeLayout();
    const steps: Progress[] = [];
    await using opened = await open(`oci:${dir}`, { onProgress: (step) => steps.push(step) });
    expect(opened.reference).toBe(`oci:${dir}`);
    expect(opened.manifestDigest).toBe(image.manifest.digest);
    expect(opened.layers.map(({ diffId }) => diffId)).toEqual(image.tars.map((tar) => sha256(tar)));
    await expectSame(opened, storedOf(image));
    const sizes = storedOf(image).map(({ length }) => length);
    expect(opened.totalSize_bytes).toBe(sizes.reduce((a, b) => a + b));
    expect(steps.filter(({ done, total }) => done === total).length).toBe(2);
  });

  test("chooses by name, and by platform inside of an index", async () => {
    const index = makeIndex([image, other]);
    const dir = makeLayout({ latest: index, "docker.io/x:arm": other.manifest } as never);
    await using amd = await open(`oci:${dir}:latest`);
    await using arm = await open(`oci:${dir}:latest`, { platform: "arm64" });
    await using named = await open(`oci:${dir}:docker.io/x:arm`, { platform: "arm64" });
    expect(amd.manifestDigest).toBe(image.manifest.digest);
    expect(arm.manifestDigest).toBe(other.manifest.digest);
    expect(named.manifestDigest).toBe(other.manifest.digest);
  });

  test("looks into the entries of an index that name no platform, and over those that are broken", async () => {
    const index = "application/vnd.oci.image.index.v1+json";
    const entries = [other, image].map(({ manifest }) => descriptor(manifest));
    const missing = { ...descriptor(image.manifest), digest: sha256("missing") };
    for (const manifests of [
      entries,
      entries.map((entry) => ({ ...entry, platform: {} })),
      [missing, ...entries],
      [{ ...missing, platform: { os: "linux", architecture: "s390x" } }, ...entries],
    ]) {
      const dir = makeLayout({ latest: json(index, { schemaVersion: 2, manifests }) } as never);
      for (const [platform, { manifest }] of [
        ["amd64", image],
        ["arm64", other],
      ] as const) {
        await using opened = await open(`oci:${dir}`, { platform });
        expect(opened.manifestDigest).toBe(manifest.digest);
      }
      const none = await bangerErrorOf(open(`oci:${dir}`, { platform: "riscv64" }));
      expect(none.code).toBe("unsupported");
      expect(none.message).toContain("linux/arm64, linux/amd64");
    }
  });

  test("asks which image when there are several, and names them when there is none", async () => {
    const dir = makeLayout({ one: image.manifest, two: image.manifest } as never);
    const several = await bangerErrorOf(open(`oci:${dir}`));
    expect(several.code).toBe("invalid_argument");
    expect(several.hint).toContain('"one", "two"');
    const typo = await bangerErrorOf(open(`oci:${dir}:onne`));
    expect(typo.code).toBe("not_found");
    expect(typo.hint).toContain('"one"');
  });

  test("refuses the wrong platform, and says which there is", async () => {
    const error = await bangerErrorOf(open(`oci:${makeLayout()}`, { platform: "s390x" }));
    expect(error.code).toBe("unsupported");
    expect(error.message).toContain("linux/amd64");
  });

  test("finds a damaged layer while it is read", async () => {
    const dir = makeLayout();
    const [first] = image.layers;
    const bytes = Buffer.from(first?.bytes ?? []);
    bytes[20] = (bytes[20] ?? 0) ^ 1;
    writeFileSync(join(dir, "blobs/sha256", hexOf(first?.digest ?? sha256(""))), bytes);
    await using opened = await open(`oci:${dir}`);
    expect((await bangerErrorOf(read(opened))).code).toBe("integrity");
  });

  test("finds a layer that is missing or cut short before anything is read", async () => {
    const hex = hexOf(image.layers[0]?.digest ?? sha256(""));
    const missing = makeLayout();
    rmSync(join(missing, "blobs/sha256", hex));
    expect((await bangerErrorOf(open(`oci:${missing}`))).code).toBe("integrity");
    const short = makeLayout();
    writeFileSync(join(short, "blobs/sha256", hex), "x");
    expect((await bangerErrorOf(open(`oci:${short}`))).code).toBe("integrity");
  });

  test("finds a damaged manifest", async () => {
    const dir = makeLayout();
    const bytes = Buffer.concat([image.manifest.bytes.subarray(0, -1), Buffer.from(" ")]);
    writeFileSync(join(dir, "blobs/sha256", hexOf(image.manifest.digest)), bytes);
    expect((await bangerErrorOf(open(`oci:${dir}`))).code).toBe("integrity");
  });

  test("says what does not exist", async () => {
    expect((await bangerErrorOf(open(`oci:${folder}/none`))).code).toBe("not_found");
    expect((await bangerErrorOf(open(`oci:${newFolder()}`))).code).toBe("invalid_argument");
  });

  test("is cancelled by the signal while a layer is read", async () => {
    const controller = new AbortController();
    const text = `oci:${makeLayout()}`;
    const options = { cacheDir: folder, platform: "amd64", signal: controller.signal };
    await using opened = await openImage(text, options);
    controller.abort();
    expect((await bangerErrorOf(read(opened))).code).toBe("cancelled");
  });
});

test("oci-archive: reads the same layout from a tar", async () => {
  const path = await archiveOf(layoutFiles([image], { latest: image.manifest }));
  await using opened = await open(`oci-archive:${path}:latest`);
  expect(opened.manifestDigest).toBe(image.manifest.digest);
  await expectSame(opened, storedOf(image));
});

test("oci: takes the file that an export has just written, too", async () => {
  const path = await archiveOf(layoutFiles([image], { latest: image.manifest }));
  await using opened = await open(`oci:${path}`);
  await expectSame(opened, storedOf(image));
  expect((await bangerErrorOf(open(`oci:${path}:none`))).code).toBe("not_found");
});

describe("archives that are compressed as a whole", () => {
  const packs = { gzip: gzipSync, zstd: zstdCompressSync };
  const plain = {
    "oci-archive": () => archiveOf(layoutFiles([image], { latest: image.manifest })),
    oci: () => archiveOf(layoutFiles([image], { latest: image.manifest })),
    "docker-archive": () =>
      archiveOf(dockerFiles(image, { layerName: (index) => `${index}/layer.tar` })),
  };
  const cases = Object.keys(plain).flatMap((kind) =>
    Object.keys(packs).map((pack) => [kind, pack]),
  );

  test.each(cases as [keyof typeof plain, keyof typeof packs][])(
    "%s: by %s",
    async (kind, pack) => {
      const tar = readFileSync(await plain[kind]());
      const path = join(newFolder(), "archive");
      writeFileSync(path, packs[pack](tar));
      const scratchDir = join(newFolder(), "scratch");
      {
        await using opened = await openImage(`${kind}:${path}`, {
          cacheDir: folder,
          platform: "amd64",
          scratchDir,
        });
        await expectSame(opened, kind === "docker-archive" ? image.tars : storedOf(image));
        expect(existsSync(scratchDir)).toBe(true);
      }
      expect(existsSync(scratchDir)).toBe(false);
      writeFileSync(path, packs[pack](tar).subarray(0, 200));
      const cut = openImage(`${kind}:${path}`, { cacheDir: folder, platform: "amd64", scratchDir });
      const error = await bangerErrorOf(cut);
      expect(error.code).toBe("integrity");
      expect(error.message).toContain(path);
      expect(existsSync(scratchDir)).toBe(false);
    },
  );

  test("by what is not unpacked here is said, with what does it", async () => {
    const path = join(newFolder(), "archive.tar.xz");
    writeFileSync(path, Buffer.from("fd377a585a000004", "hex"));
    const error = await bangerErrorOf(open(`docker-archive:${path}`));
    expect(error.code).toBe("unsupported");
    expect(error.hint).toContain("unxz");
  });
});

test("an archive of the other form, or of both, is read", async () => {
  // As docker saves it from containerd's store: a layout whose index names platforms that are not there.
  const index = makeIndex([image, other]);
  const layout = layoutFiles([image], { "docker.io/library/thing:1": index });
  const layerName = (n: number) => `blobs/sha256/${hexOf(image.layers[n]?.digest ?? sha256(""))}`;
  const both = {
    ...layout,
    "manifest.json": JSON.stringify([
      {
        Config: `blobs/sha256/${hexOf(image.config.digest)}`,
        RepoTags: ["thing:1"],
        Layers: image.layers.map((_, n) => layerName(n)),
      },
    ]),
  };
  for (const files of [layout, both]) {
    const path = await archiveOf(files);
    for (const text of [`docker-archive:${path}:thing:1`, `oci-archive:${path}:thing:1`]) {
      await using opened = await open(text);
      await expectSame(opened, storedOf(image));
    }
  }
  const docker = await archiveOf(dockerFiles(image, { layerName: (n) => `${n}/layer.tar` }));
  await using opened = await open(`oci-archive:${docker}:thing:1`);
  await expectSame(opened, image.tars);
});

describe("docker-archive:", () => {
  const oldName = (index: number) => `${`${index}`.repeat(64)}/layer.tar`;
  const newName = (_: number, tar: Uint8Array) => `blobs/sha256/${hexOf(sha256(tar))}`;

  test.each([oldName, newName])("reads plain layers (%#)", async (layerName) => {
    const path = await archiveOf(dockerFiles(image, { layerName }));
    await using opened = await open(`docker-archive:${path}`);
    expect(opened.configDigest).toBe(image.config.digest);
    expect(opened.manifestDigest).toBe(image.config.digest);
    expect(opened.config.cmd).toEqual(["/bin/sh"]);
    await expectSame(opened, image.tars);
    for (const layer of opened.layers) {
      expect(layer.digest).toBe(layer.diffId);
      expect(layer.mediaType).toBe("application/vnd.docker.image.rootfs.diff.tar");
    }
  });

  test.each([
    ["gzip", gzipSync],
    ["zstd", zstdCompressSync],
  ])("reads %s layers", async (name, pack) => {
    const path = await archiveOf(dockerFiles(image, { layerName: newName, pack }));
    await using opened = await open(`docker-archive:${path}`);
    await expectSame(
      opened,
      image.tars.map((tar) => pack(tar)),
    );
    expect(opened.layers[0]?.mediaType).toBe(
      `application/vnd.docker.image.rootfs.diff.tar.${name}`,
    );
    expect(opened.layers[0]?.diffId).toBe(sha256(image.tars[0] ?? ""));
  });

  test("chooses by reference or number, and asks when it must", async () => {
    const one = dockerFiles(image, { layerName: oldName, tags: ["thing:1"] });
    const two = dockerFiles(image, { layerName: oldName, tags: ["ghcr.io/a/b:2"] });
    const lists = [one, two].flatMap((files) => JSON.parse(String(files["manifest.json"])));
    const path = await archiveOf({ ...one, "manifest.json": JSON.stringify(lists) });
    for (const name of ["thing:1", "docker.io/library/thing:1", "ghcr.io/a/b:2", "@0", "@1"]) {
      await using opened = await open(`docker-archive:${path}:${name}`);
      expect(opened.configDigest).toBe(image.config.digest);
    }
    expect((await bangerErrorOf(open(`docker-archive:${path}`))).code).toBe("invalid_argument");
    for (const name of ["thing:2", "@2"]) {
      const error = await bangerErrorOf(open(`docker-archive:${path}:${name}`));
      expect(error.code).toBe("not_found");
      expect(error.hint).toContain("thing:1");
    }
  });

  test("finds a layer that does not hash to its diff id", async () => {
    const pack = (tar: Uint8Array) => Buffer.concat([tar, Buffer.alloc(512)]);
    const path = await archiveOf(dockerFiles(image, { layerName: oldName, pack }));
    await using opened = await open(`docker-archive:${path}`);
    expect((await bangerErrorOf(read(opened))).code).toBe("integrity");
  });

  test("finds a missing layer, a missing config, and a name that climbs out", async () => {
    const files = dockerFiles(image, { layerName: oldName });
    const { [oldName(1)]: _, ...withoutLayer } = files;
    const missing = await archiveOf(withoutLayer);
    expect((await bangerErrorOf(open(`docker-archive:${missing}`))).code).toBe("integrity");
    const manifest = JSON.stringify([{ Config: "../../etc/passwd", Layers: ["/etc/passwd"] }]);
    const climbing = await archiveOf({ ...files, "manifest.json": manifest });
    expect((await bangerErrorOf(open(`docker-archive:${climbing}`))).code).toBe("not_found");
  });

  test("says what a file is when it is no archive", async () => {
    const path = join(newFolder(), "x");
    writeFileSync(path, gzipSync(Buffer.alloc(2048)));
    expect((await bangerErrorOf(open(`docker-archive:${path}`))).code).toBe("invalid_argument");
    writeFileSync(path, "no tar at all".repeat(100));
    expect((await bangerErrorOf(open(`docker-archive:${path}`))).code).toBe("integrity");
    expect((await bangerErrorOf(open(`docker-archive:${path}.none`))).code).toBe("not_found");
    symlinkSync(path, `${path}.link`);
    expect((await bangerErrorOf(open(`docker-archive:${path}.link`))).code).toBe("integrity");
  });
});
