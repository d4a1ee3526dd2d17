import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { BangerError } from "#base/error.ts";
import { catalogJsonSchema, embeddedCatalog } from "#kernels/catalog.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { putEntry, readCatalogFile, removeEntry, signCatalog, writeKeyPair } from "./author.ts";
import { parseConfiguredCatalogs } from "./configured.ts";
import { generateKeyPair, parsePublicKey, parseSecretKey, sign, verify } from "./minisign.ts";
import { parseCatalogUrl } from "./remote.ts";
import { BUILT_IN, CatalogStore } from "./store.ts";

let folder: string;
let store: CatalogStore;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-catalogs-"));
  store = new CatalogStore(join(folder, "catalogs"));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

const entry = (name: string, url = "https://example.org/x.tar.zst") => ({
  name,
  distro: "mine",
  arch: "amd64" as const,
  description: "mine",
  source: {
    kind: "tarball" as const,
    url,
    sha256: `sha256:${"1".repeat(64)}` as never,
    size_bytes: 10,
  },
});

function write(path: string, kernels: unknown[]): string {
  const full = join(folder, path);
  writeFileSync(full, JSON.stringify({ schema: 1, kernels }));
  return full;
}

const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof BangerError) return error.code;
    throw error;
  }
  return "none";
};

describe("signatures", () => {
  const pair = generateKeyPair();
  const key = pair.publicKey;
  const data = Buffer.from("a catalog");
  const signature = sign(data, parseSecretKey(pair.secretFile), "timestamp:1700000000\tfile:x");
  const what = "it";

  test("fit what was signed, and only that", () => {
    expect(verify(data, signature, { key, what }).timestamp_s).toBe(1_700_000_000);
    expect(codeOf(() => verify(Buffer.from("another"), signature, { key, what }))).toBe(
      "integrity",
    );
    const other = generateKeyPair().publicKey;
    expect(codeOf(() => verify(data, signature, { key: other, what }))).toBe("integrity");
    const forged = signature.replace("1700000000", "1800000000");
    expect(codeOf(() => verify(data, forged, { key, what }))).toBe("integrity");
  });

  test("do not fit once any character of them is another", () => {
    const lines = signature.split("\n");
    const mutation = fc.record({ line: fc.constantFrom(1, 2, 3), at: fc.nat(), to: fc.nat(61) });
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    fc.assert(
      fc.property(mutation, ({ line, at, to }) => {
        const text = lines[line] ?? "";
        const place = at % text.length;
        const changed = `${text.slice(0, place)}${alphabet[to]}${text.slice(place + 1)}`;
        const forged = lines.with(line, changed).join("\n");
        const isSame =
          line !== 2 && Buffer.from(changed, "base64").equals(Buffer.from(text, "base64"));
        fc.pre(changed !== text && !isSame);
        expect(codeOf(() => verify(data, forged, { key, what }))).toBe("integrity");
      }),
    );
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(codeOf(() => verify(data, text, { key, what }))).toBe("integrity");
        expect(codeOf(() => parsePublicKey(text))).toBe("invalid_argument");
        expect(codeOf(() => parseSecretKey(text))).toBe("invalid_argument");
      }),
    );
  });

  test("of keys on disk: the secret one is private, and nothing is overwritten", () => {
    const path = join(folder, "key");
    const files = writeKeyPair(path);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(parsePublicKey(readFileSync(files.public, "utf8")).text).toBe(files.key);
    expect(codeOf(() => writeKeyPair(path))).toBe("already_exists");
    const catalog = write("c.json", [entry("mine-6.12")]);
    const text = readFileSync(signCatalog(catalog, path), "utf8");
    const known = { key: parsePublicKey(files.key), what };
    expect(verify(readFileSync(catalog), text, known).timestamp_s).toBeGreaterThan(1_700_000_000);
    writeFileSync(catalog, "{}");
    expect(codeOf(() => signCatalog(catalog, path))).toBe("integrity");
  });
});

describe("catalogs of the user", () => {
  test("in a file are read where it is, and never take a name from the program's", async () => {
    const path = write("my kernels.json", [entry("mine-6.12"), entry("debian-6.12")]);
    expect(await store.add({ from: path })).toMatchObject({ name: "my-kernels", kernels: 2 });
    const { kernels } = store.entries();
    const found = (name: string) =>
      kernels.filter((each) => each.name === name && each.arch === "amd64");
    expect(found("mine-6.12").map(({ catalog }) => catalog)).toEqual(["my-kernels"]);
    expect(found("debian-6.12").map(({ catalog }) => catalog)).toEqual([BUILT_IN]);
    write("my kernels.json", [entry("newer-6.12")]);
    expect(store.entries().kernels.map(({ name }) => name)).toContain("newer-6.12");
    store.remove("my-kernels");
    expect(store.entries().kernels).toHaveLength(embeddedCatalog().kernels.length);
    expect(readdirSync(join(folder, "catalogs"))).toEqual([]);
  });

  test("that cannot be read do not hide the others", async () => {
    const bad = write("bad.json", [entry("a-1.0")]);
    await store.add({ from: bad });
    await store.add({ from: write("good.json", [entry("b-1.0")]) });
    writeFileSync(bad, '{"schema":1,"kernels":[{}]}');
    const { kernels, problems } = store.entries();
    expect(kernels.map(({ name }) => name)).toContain("b-1.0");
    expect(problems.map(({ message }) => message)).toEqual([
      expect.stringContaining('catalog "bad": kernels.0'),
    ]);
    expect(store.list().map(({ name, problem }) => [name, problem === undefined])).toEqual([
      [BUILT_IN, true],
      ["bad", false],
      ["good", true],
    ]);
    rmSync(bad);
    expect(store.list()[1]?.problem).toContain("no such file");
  });

  test("signed in a file are looked at again every time", async () => {
    const path = write("signed.json", [entry("mine-6.12")]);
    const { key, secret } = writeKeyPair(join(folder, "key"));
    expect((await bangerErrorOf(store.add({ from: path, key }))).code).toBe("not_found");
    signCatalog(path, secret);
    expect((await store.add({ from: path, key })).keyId).toMatch(/^[0-9A-F]{16}$/);
    write("signed.json", [entry("forged-6.12")]);
    expect(store.entries().problems[0]?.message).toContain("signature verification failed");
  });

  test("are refused under a name that is taken, without a key, or by another way than https", async () => {
    const from = write("a.json", []);
    await store.add({ from });
    const refusal = async (request: Parameters<CatalogStore["add"]>[0]) =>
      (await bangerErrorOf(store.add(request))).code;
    expect(await refusal({ from })).toBe("already_exists");
    expect(await refusal({ from, name: BUILT_IN })).toBe("already_exists");
    expect(await refusal({ from, name: "../x" })).toBe("invalid_argument");
    expect(await refusal({ from: "https://example.org/c.json" })).toBe("invalid_argument");
    const { key } = writeKeyPair(join(folder, "key"));
    for (const url of ["http://example.org/c.json", "file:///etc/passwd", "ftp://x/y"]) {
      expect(await refusal({ from: url, key, name: "x" })).toBe("invalid_argument");
    }
    expect(parseCatalogUrl("http://127.0.0.1:1/c").port).toBe("1");
    expect(await refusal({ from: join(folder, "none.json") })).toBe("not_found");
    expect(codeOf(() => store.remove("b"))).toBe("not_found");
    expect(codeOf(() => store.remove(BUILT_IN))).toBe("invalid_argument");
    expect(readdirSync(join(folder, "catalogs"))).toEqual(["a"]);
  });
});

describe("catalogs of the configuration", () => {
  const configured = (...entries: string[]): CatalogStore =>
    new CatalogStore(join(folder, "catalogs"), parseConfiguredCatalogs(entries));

  test("are used like those that were added, and are not removed by a command", async () => {
    const from = write("c.json", [entry("mine-6.12")]);
    const { key, secret } = writeKeyPair(join(folder, "key"));
    const url = "https://catalog.invalid/c.json";
    const both = configured(`mine=${from}`, `team=${url} ${key}`);
    expect(both.list().map(({ name, kernels }) => [name, kernels])).toEqual([
      [BUILT_IN, embeddedCatalog().kernels.length],
      ["mine", 1],
      ["team", 0],
    ]);
    expect(both.entries().kernels.at(-1)).toMatchObject({ name: "mine-6.12", catalog: "mine" });
    expect(both.entries().problems.map(({ hint }) => hint)).toEqual([
      "banger kernel catalog update team",
    ]);
    expect(codeOf(() => both.remove("mine"))).toBe("invalid_argument");
    expect((await bangerErrorOf(both.add({ from, name: "mine" }))).code).toBe("already_exists");
    expect(store.list()).toHaveLength(1);
    const signed = configured(`mine=${from} ${key}`);
    expect(signed.entries().problems).toHaveLength(1);
    signCatalog(from, secret);
    expect(signed.entries().problems).toEqual([]);
  });

  test("are refused when they are no name and address", () => {
    for (const bad of ["mine", "=/x", "Mine=/x", "mine=x.json", "a=/x b c", "a=/x /y/z "]) {
      const isRead = codeOf(() => configured(bad)) === "none";
      // What could be a key is looked at where the catalog is.
      expect([bad, isRead]).toEqual([bad, bad.endsWith("/z ")]);
    }
    expect(codeOf(() => configured("a=/x", "a=/y"))).toBe("invalid_argument");
    expect(configured("a=/x no-key").list()[1]?.problem).toContain("public key");
    expect(configured("a=https://x.invalid/c").list()[1]?.problem).toContain("missing public key");
  });
});

test("an entry is put in its place, and taken out", () => {
  const path = join(folder, "new.json");
  putEntry(path, entry("a-1.0"));
  putEntry(path, entry("b-1.0"));
  putEntry(path, entry("a-1.0", "https://example.org/newer.tar.zst"));
  const urls = readCatalogFile(path).kernels.map(({ source }) => "url" in source && source.url);
  expect(urls).toEqual(["https://example.org/newer.tar.zst", "https://example.org/x.tar.zst"]);
  expect(removeEntry(path, { name: "a-1.0", arch: "arm64" })).toBeUndefined();
  expect(removeEntry(path, { name: "a-1.0", arch: "amd64" })?.name).toBe("a-1.0");
  expect(readCatalogFile(path).kernels.map(({ name }) => name)).toEqual(["b-1.0"]);
});

test("the published schema says what the program takes", () => {
  const schema = JSON.stringify(catalogJsonSchema());
  for (const word of ["tarball", "debian", "recipe", "size_bytes", "arm64", "2020-12"]) {
    expect(schema).toContain(word);
  }
});
