import { expect, test } from "bun:test";
import { BangerError } from "#base/error.ts";
import type { Bundle } from "./bundle.ts";
import { embeddedCatalog } from "./catalog.ts";
import { BUILT_IN, type NamedEntry } from "./catalogs/store.ts";
import { parseNeeds, selectKernel } from "./select.ts";

const bundle = (name: string, version: string, features: string[]): Bundle => ({
  path: `/x/${name}`,
  manifest: {
    schema: 1,
    name,
    distro: "x",
    arch: "amd64",
    version,
    format: "elf",
    sha256: `sha256:${"0".repeat(64)}` as never,
    source: { kind: "import", from: "/x" },
    importedAt: "2026-01-02T03:04:05.000Z",
    features: features.map((feature) => ({ name: feature, kind: "built-in" })),
    modules: [],
    initrd: false,
    size_bytes: 1,
  },
});

const bundles = [
  bundle("old-6.1", "6.1.100", ["containers", "wireguard"]),
  bundle("new-6.12", "6.12.9", ["containers", "wireguard"]),
  bundle("small-6.13", "6.13.0", ["ext4"]),
];
const entries: NamedEntry[] = embeddedCatalog()
  .kernels.filter(({ arch }) => arch === "amd64")
  .map((entry) => ({ ...entry, catalog: BUILT_IN }));

const failure = (needs: string[], here: Bundle[] = []): BangerError => {
  try {
    selectKernel(needs, { bundles: here, entries, preferred: [] });
  } catch (error) {
    if (error instanceof BangerError) return error;
    throw error;
  }
  throw new Error("one was found");
};

test("takes what is preferred, if it fits, and else the newest that does", () => {
  const take = (needs: string[], preferred: string[]) =>
    selectKernel(needs, { bundles, entries, preferred }).manifest.name;
  expect(take(["containers"], ["old-6.1"])).toBe("old-6.1");
  expect(take(["containers"], ["small-6.13", "old-6.1"])).toBe("old-6.1");
  expect(take(["containers", "wireguard"], ["small-6.13"])).toBe("new-6.12");
  expect(take([], [])).toBe("small-6.13");
});

test("says which kernel to get when none fits", () => {
  expect(failure(["wireguard", "ip-pnp"], bundles)).toMatchObject({
    code: "not_found",
    hint: "banger kernel build generic-6.12",
  });
  expect(failure(["containers"]).hint).toBe("banger kernel pull debian-6.12");
  expect(failure(["9p", "ip-pnp"]).message).toContain("no installed or available kernel");
});

test("knows a slip in a need", () => {
  expect(parseNeeds(" containers,wireguard,containers,")).toEqual(["containers", "wireguard"]);
  expect(failure(["wiregard"])).toMatchObject({
    code: "invalid_argument",
    hint: 'Did you mean "wireguard"?',
  });
  expect(() => parseNeeds("nope")).toThrow('"nope"');
});
