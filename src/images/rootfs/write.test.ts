import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { sha256 } from "#base/digest.ts";
import type { Progress } from "#base/progress.ts";
import { MiB } from "#base/size.ts";
import { openExt4 } from "#ext4/read/reader.ts";
import type { Layer } from "#oci/layer.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { listing, listingOf } from "#test/rootfs-build.ts";
import { dir, file, hardLink, makeLayer, makeTar, symlink } from "#test/tar-build.ts";
import { inflate } from "./inflate.ts";
import { buildRootfs, type RootfsOptions } from "./write.ts";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-rootfs-unit-"));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SEED = sha256("seed");

function options(extra: Partial<RootfsOptions> = {}): RootfsOptions {
  return { path: join(folder, "image"), seed: SEED, ...extra };
}

test("zeros of a layer take no room on the disk, and read as zeros", async () => {
  const content = Buffer.alloc(32 * MiB);
  content.write("in the middle", 16 * MiB);
  const layer = makeLayer(makeTar([file("mostly-nothing", content), file("after", "after")]));
  const { size_bytes, allocated_bytes } = await buildRootfs([layer], options());
  expect(size_bytes).toBeGreaterThan(32 * MiB);
  expect(allocated_bytes).toBeLessThan(MiB);
  using reader = openExt4(join(folder, "image"));
  expect(Buffer.compare(reader.readFile("mostly-nothing"), content)).toBe(0);
  expect(Buffer.from(reader.readFile("after")).toString()).toBe("after");
});

test("a zstd window over the limit is called that", async () => {
  // A frame with a window of 1 GiB and one empty block.
  const stored = Buffer.from("28b52ffd00a0010000", "hex");
  const error = await bangerErrorOf(buildRootfs([makeLayer(makeTar([]), { stored })], options()));
  expect(error.code).toBe("limit_exceeded");
  expect(error.message).toContain("zstd window");
});

test("text ACLs of a tar are ACLs of the file", async () => {
  const acl = "user::rw-,user:1000:r-x,group::r--,mask::r-x,other::r--";
  const listed = file("listed", "x", { pax: { "SCHILY.acl.access": acl } });
  const named = file("named", "x", { pax: { "SCHILY.acl.access": acl.replace("1000", "joe") } });
  await buildRootfs([makeLayer(makeTar([listed, named]))], options());
  using reader = openExt4(join(folder, "image"));
  const [attribute] = reader.xattrs(reader.stat("listed"));
  expect(Buffer.from(attribute?.name ?? []).toString()).toBe("system.posix_acl_access");
  expect(Buffer.from(attribute?.value ?? []).readUInt32LE(4 + 8 + 4)).toBe(1000);
  expect(reader.xattrs(reader.stat("named"))).toEqual([]);
});

describe("compression", () => {
  const tar = makeTar([file("a", "x".repeat(100_000)), file("b", "y")]);
  const half = Math.floor(tar.length / 2);
  const forms: Record<string, Uint8Array> = {
    none: tar,
    gzip: gzipSync(tar),
    "gzip in members": Buffer.concat([
      gzipSync(tar.subarray(0, half)),
      gzipSync(tar.subarray(half)),
    ]),
    "gzip with padding": Buffer.concat([gzipSync(tar), Buffer.alloc(1000)]),
    zstd: Bun.zstdCompressSync(tar),
    "zstd in frames": Buffer.concat([
      Bun.zstdCompressSync(tar.subarray(0, half)),
      Bun.zstdCompressSync(tar.subarray(half)),
    ]),
    "zstd with a skippable frame": Buffer.concat([
      Buffer.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]),
      Bun.zstdCompressSync(tar),
      Buffer.from([0x5f, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2]),
    ]),
  };
  for (const [name, stored] of Object.entries(forms)) {
    test.each([1 << 20, 1000, 7])(`${name}, %p bytes at a time`, async (chunk_bytes) => {
      const layer = makeLayer(tar, { stored, chunk_bytes });
      const { uncompressed_bytes } = await buildRootfs([layer], options());
      expect(uncompressed_bytes).toBe(tar.length);
      using reader = openExt4(join(folder, "image"));
      expect(Buffer.from(reader.readFile("b")).toString()).toBe("y");
    });
  }

  test.each(Object.keys(forms))("%s, where no other process can help", async (name) => {
    const layer = makeLayer(tar, { stored: forms[name] ?? tar, chunk_bytes: 1000 });
    const chunks: Uint8Array[] = [];
    for await (const chunk of inflate(layer, { inflater: async () => undefined })) {
      chunks.push(chunk.slice());
    }
    expect(Buffer.concat(chunks).equals(tar)).toBe(true);
  });

  for (const name of ["gzip", "zstd", "none"]) {
    const stored = forms[name] ?? tar;
    test.each([1, 5, 20, stored.length - 1])(
      `${name} cut off after %p bytes is refused`,
      async (end) => {
        const layer = makeLayer(tar, { stored: stored.subarray(0, end) });
        const error = await bangerErrorOf(buildRootfs([layer], options()));
        expect(error.code).toBe("integrity");
      },
    );
  }

  test("damaged data, and content that is not what the config says, are refused", async () => {
    const stored = Buffer.from(gzipSync(tar));
    stored.fill(0x55, 40, 60);
    expect((await bangerErrorOf(buildRootfs([makeLayer(tar, { stored })], options()))).code).toBe(
      "integrity",
    );
    const other = makeLayer(tar, { diffId: sha256("other") });
    const error = await bangerErrorOf(buildRootfs([other], options()));
    expect(error).toMatchObject({
      code: "integrity",
      message: expect.stringContaining("digest mismatch"),
    });
  });

  test("xz is named as what is not supported", async () => {
    const stored = Buffer.from("fd377a585a000004e6d6b446", "hex");
    const error = await bangerErrorOf(buildRootfs([makeLayer(tar, { stored })], options()));
    expect(error).toMatchObject({ code: "unsupported", hint: expect.stringContaining("zstd") });
  });
});

describe("the whole", () => {
  const specs = [
    dir("d"),
    file("d/a", "x".repeat(10_000)),
    symlink("s", "d/a"),
    hardLink("h", "d/a"),
  ];

  test("the same layers give the same bytes, however they arrive; another seed gives another UUID", async () => {
    const tar = makeTar(specs);
    const bytes = async (layers: Layer[], seed = SEED): Promise<string> => {
      await buildRootfs(layers, options({ seed }));
      return sha256(readFileSync(join(folder, "image")));
    };
    const first = await bytes([makeLayer(tar)]);
    expect(await bytes([makeLayer(tar, { chunk_bytes: 100 })])).toBe(first);
    expect(await bytes([makeLayer(tar, { stored: tar })])).toBe(first);
    expect(await bytes([makeLayer(tar)], sha256("another"))).not.toBe(first);
  });

  test("no layers, and layers with nothing in them, make an empty root", async () => {
    expect(await listingOf()).toEqual({});
    const empty = makeLayer(new Uint8Array());
    await buildRootfs([empty, makeLayer(Buffer.alloc(1024)), makeLayer(makeTar(specs))], options());
    using reader = openExt4(join(folder, "image"));
    expect(Object.keys(listing(reader))).toHaveLength(4);
  });

  test("free space is there when it is asked for", async () => {
    await buildRootfs([makeLayer(makeTar(specs))], options({ freeSpace_bytes: 300 * MiB }));
    using reader = openExt4(join(folder, "image"));
    expect(reader.info.free_bytes).toBeGreaterThanOrEqual(300 * MiB);
    expect(reader.info.freeInodes).toBeGreaterThan(10_000);
  });

  test("what was replaced takes no room on disk", async () => {
    const big = (fill: string) => [file("big", fill.repeat(8 * MiB))];
    const { allocated_bytes } = await buildRootfs(
      [makeLayer(makeTar(big("a"))), makeLayer(makeTar(big("b")))],
      options(),
    );
    expect(allocated_bytes).toBeLessThan(9 * MiB);
  });

  test("attributes of unknown namespaces are counted", async () => {
    const odd = file("f", "x", { pax: { "SCHILY.xattr.com.apple.x": "1" } });
    const result = await buildRootfs([makeLayer(makeTar([odd]))], options());
    expect(result.droppedXattrs).toBe(1);
  });

  test("progress counts the compressed bytes of each layer", async () => {
    const layer = makeLayer(makeTar(specs), { chunk_bytes: 50 });
    const seen: Progress[] = [];
    await buildRootfs([layer], options({ onProgress: (progress) => seen.push(progress) }));
    const last = seen.findLast(({ unit }) => unit === "bytes");
    expect(last).toMatchObject({
      done: layer.size,
      total: layer.size,
      message: "Unpacking layer 1 of 1",
    });
  });

  test("limits on entries and bytes are kept", async () => {
    const layer = makeLayer(makeTar(specs));
    for (const limit of [{ entriesMax: 3 }, { uncompressedMax_bytes: 10_000 }]) {
      const error = await bangerErrorOf(buildRootfs([layer], options(limit)));
      expect(error.code).toBe("limit_exceeded");
    }
  });

  test("nothing is left after a failure or a cancel, and an image that was there stays", async () => {
    const own = mkdtempSync(join(folder, "own-"));
    const path = join(own, "image");
    await buildRootfs([makeLayer(makeTar(specs))], options({ path }));
    const before = sha256(readFileSync(path));
    const controller = new AbortController();
    const slow = makeLayer(makeTar([file("a", "x".repeat(MiB))]), { chunk_bytes: 10 });
    const work = buildRootfs([slow], {
      ...options({ path, signal: controller.signal }),
      onProgress: ({ done }) => {
        if (done && done > 200) controller.abort();
      },
    });
    expect((await bangerErrorOf(work)).code).toBe("cancelled");
    const bad = makeLayer(makeTar([file(".wh.")]));
    expect((await bangerErrorOf(buildRootfs([bad], options({ path })))).code).toBe("integrity");
    expect(readdirSync(own)).toEqual(["image"]);
    expect(sha256(readFileSync(path))).toBe(before);
  });
});
