import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { sha256 } from "#base/digest.ts";
import { BangerError, type ErrorCode } from "#base/error.ts";
import { parseManifest } from "./manifest.ts";

const DIGEST = sha256("x");
const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG = "application/vnd.oci.image.config.v1+json";
const layer = { mediaType: LAYER, digest: DIGEST, size: 5 };
const config = { mediaType: CONFIG, digest: DIGEST, size: 7 };
const image = { schemaVersion: 2, config, layers: [layer] };
const index = { schemaVersion: 2, manifests: [{ ...layer, mediaType: "a/b" }] };

function parse(document: unknown, mediaType?: string) {
  const bytes = new TextEncoder().encode(JSON.stringify(document));
  return parseManifest(bytes, { what: "the manifest", mediaType });
}

function codeOf(document: unknown, mediaType?: string): ErrorCode {
  try {
    parse(document, mediaType);
  } catch (error) {
    if (error instanceof BangerError) return error.code;
    throw error;
  }
  throw new Error("It was taken");
}

test("parseManifest() reads images and indexes, with and without a media type", () => {
  expect(parse(image)).toMatchObject({ kind: "image", config: { size: 7 }, layers: [layer] });
  const docker = "application/vnd.docker.distribution.manifest.v2+json";
  expect(parse({ ...image, mediaType: docker }).kind).toBe("image");
  expect(parse(image, `${docker}; charset=utf-8`).kind).toBe("image");
  expect(parse({ ...index, mediaType: "application/vnd.oci.image.index.v1+json" }).kind).toBe(
    "index",
  );
  expect(parse({ ...image, layers: [] })).toMatchObject({ layers: [] });
});

test("parseManifest() keeps platforms, and no key that it does not know", () => {
  const platform = { os: "linux", architecture: "arm", variant: "v7", "os.version": "1" };
  const parsed = parse({ ...index, manifests: [{ ...layer, platform, extra: 1 }] });
  expect(parsed).toEqual({
    kind: "index",
    manifests: [
      { ...layer, annotations: {}, platform: { os: "linux", architecture: "arm", variant: "v7" } },
    ],
  });
});

test("parseManifest() takes images of 2015, and descriptors that do not say what they are", () => {
  for (const mediaType of ["application/octet-stream", "application/json", "", undefined]) {
    const old = { ...image, config: { ...config, mediaType } };
    expect(parse(old)).toMatchObject({ kind: "image", config: { digest: DIGEST } });
  }
  const bare = { digest: DIGEST, size: 5 };
  expect(parse({ ...image, layers: [bare] })).toMatchObject({ layers: [{ mediaType: "" }] });
});

test("parseManifest() lets one entry of an index that cannot be used stand in the way of no other", () => {
  const good = { ...layer, platform: { os: "linux", architecture: "amd64" } };
  const odd: unknown[] = [
    { ...layer, platform: {} },
    { ...layer, platform: { architecture: "arm64" } },
    { ...layer, platform: "linux/amd64" },
    { ...layer, platform: null, annotations: { number: 1, text: "x" } },
    { digest: DIGEST, size: 5 },
  ];
  const broken: unknown[] = [
    { ...layer, digest: `sha512:${"a".repeat(128)}` },
    { ...layer, digest: "sha256:../../x" },
    { ...layer, size: -1 },
    { ...layer, size: "5" },
    { mediaType: LAYER },
    null,
    "text",
  ];
  const parsed = parse({ schemaVersion: 2, manifests: [...broken, good, ...odd] });
  expect(parsed.kind === "index" && parsed.manifests).toMatchObject([
    { platform: good.platform },
    { annotations: {} },
    { platform: { os: "linux", architecture: "arm64" } },
    {},
    { annotations: { text: "x" } },
    { mediaType: "" },
  ]);
  if (parsed.kind === "index") {
    expect(parsed.manifests.filter(({ platform }) => platform)).toHaveLength(2);
  }
  expect(codeOf({ schemaVersion: 2, manifests: [broken[0]] })).toBe("unsupported");
  expect(codeOf({ schemaVersion: 2, manifests: broken.slice(1) })).toBe("integrity");
});

describe("parseManifest() refuses", () => {
  const big = Array.from({ length: 600 }, () => layer);
  const cases: [string, unknown, ErrorCode, string?][] = [
    ["schema 1", { schemaVersion: 1, fsLayers: [] }, "unsupported"],
    [
      "schema 1 by type",
      image,
      "unsupported",
      "application/vnd.docker.distribution.manifest.v1+json",
    ],
    ["no object", [], "integrity"],
    ["null", null, "integrity"],
    ["no version", { config, layers: [] }, "integrity"],
    ["what is both", { ...image, ...index }, "integrity"],
    ["what is neither", { schemaVersion: 2 }, "integrity"],
    ["no config", { schemaVersion: 2, layers: [layer] }, "integrity"],
    [
      "an index that says it is an image",
      { ...index, mediaType: "application/vnd.oci.image.manifest.v1+json" },
      "unsupported",
    ],
    [
      "an artifact",
      { ...image, config: { ...config, mediaType: "application/vnd.cncf.helm.config.v1+json" } },
      "unsupported",
    ],
    [
      "an encrypted layer",
      { ...image, layers: [{ ...layer, mediaType: `${LAYER}+encrypted` }] },
      "unsupported",
    ],
    ["a size below zero", { ...image, layers: [{ ...layer, size: -1 }] }, "integrity"],
    ["half a byte", { ...image, layers: [{ ...layer, size: 0.5 }] }, "integrity"],
    ["a size without bounds", { ...image, layers: [{ ...layer, size: 2 ** 53 }] }, "integrity"],
    ["a text as size", { ...image, layers: [{ ...layer, size: "5" }] }, "integrity"],
    [
      "a digest with a path",
      { ...image, layers: [{ ...layer, digest: "sha256:../../x" }] },
      "integrity",
    ],
    [
      "another hash",
      { ...image, layers: [{ ...layer, digest: `sha512:${"a".repeat(128)}` }] },
      "unsupported",
    ],
    ["too many layers", { ...image, layers: big }, "integrity"],
    ["too many entries", { ...index, manifests: [...big, ...big] }, "integrity"],
    ["a huge config", { ...image, config: { ...config, size: 9 * 1024 * 1024 } }, "limit_exceeded"],
  ];
  for (const [name, document, code, mediaType] of cases) {
    test(name, () => {
      expect(codeOf(document, mediaType)).toBe(code);
    });
  }

  test("what is not JSON, or not UTF-8, or nested without end", () => {
    for (const bytes of [
      Buffer.from("{"),
      Buffer.from([0xff, 0xfe]),
      Buffer.from("[".repeat(1e6)),
    ]) {
      expect(() => parseManifest(bytes, { what: "x" })).toThrow(BangerError);
    }
  });
});

test("parseManifest() takes or refuses any document, and fails in no other way", () => {
  const value = fc.jsonValue({ maxDepth: 3 });
  const document = fc.record(
    { schemaVersion: fc.constantFrom(1, 2, "2"), config: value, layers: value, manifests: value },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(document, (candidate) => {
      try {
        parse(candidate);
      } catch (error) {
        if (!(error instanceof BangerError)) throw error;
      }
    }),
  );
});
