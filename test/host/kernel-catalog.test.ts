/** Kernels on their way between people: packed, published, signed, fetched by others. */
import { afterEach, beforeEach, describe, expect } from "bun:test";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { hexOf, sha256 } from "#base/digest.ts";
import type { Progress } from "#base/progress.ts";
import { runOk } from "#base/run.ts";
import type { Entry } from "#kernels/catalog.ts";
import { putEntry, signCatalog, writeKeyPair } from "#kernels/catalogs/author.ts";
import { parsePublicKey, verify } from "#kernels/catalogs/minisign.ts";
import { pullKernel } from "#kernels/pull.ts";
import { KernelService } from "#kernels/service.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { type FileServer, serveFiles, serveWebdav } from "#test/file-server.ts";
import { kernelBytes, writeKernelFolder } from "#test/kernel-fixture.ts";
import { testNeeding } from "#test/needs.ts";
import { dir, file, hardLink, makeTar, type TarSpec } from "#test/tar-build.ts";

const test = testNeeding("busybox");
const testWithRclone = testNeeding("busybox", "rclone");
const testWithMinisign = testNeeding("minisign");

let folder: string;
let server: FileServer;
let served: string;

beforeEach(async () => {
  folder = mkdtempSync("/tmp/banger-catalog-");
  served = join(folder, "served");
  mkdirSync(served);
  server = await serveFiles(served);
});

afterEach(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

function service(name: string, catalogs: readonly string[] = []): KernelService {
  const home = join(folder, name);
  return new KernelService({
    catalogs,
    dir: join(home, "kernels"),
    downloads: join(home, "downloads"),
    config: join(home, "config"),
  });
}

/** Serves an archive of these entries, and gives the catalog that names it. */
function offer(specs: readonly TarSpec[], changes: Partial<Entry["source"]> = {}) {
  const archive = zstdCompressSync(makeTar(specs));
  writeFileSync(join(served, "x.tar.zst"), archive);
  const source = {
    kind: "tarball" as const,
    url: `${server.url}/x.tar.zst`,
    sha256: sha256(archive),
    size_bytes: archive.length,
  };
  const entry = {
    name: "mine-6.12",
    distro: "mine",
    arch: "amd64" as const,
    description: "x",
    source: { ...source, ...changes } as Entry["source"],
  };
  return { archive, entry, catalog: { kernels: [entry] } };
}

describe("pulling an archive", () => {
  const good = (): TarSpec[] => [
    dir("."),
    file("vmlinux", kernelBytes()),
    file("config", "CONFIG_EXT4_FS=y\n"),
  ];
  const pull = (offered: ReturnType<typeof offer>, options: { force?: boolean } = {}) =>
    pullKernel("mine-6.12", {
      ...options,
      dir: join(folder, "kernels"),
      cache: join(folder, "cache"),
      catalog: offered.catalog,
      arch: "amd64",
      retryDelay_ms: 1,
    });

  test("leaves a bundle, pulls nothing twice, and replaces what is outdated", async () => {
    const first = offer(good());
    const pulled = await pull(first);
    expect(pulled.changed).toBe(true);
    expect(pulled.bundle.manifest).toMatchObject({
      name: "mine-6.12",
      version: "6.12.1-fixture",
      sha256: sha256(kernelBytes()),
      features: [{ name: "ext4", kind: "built-in" }],
      source: {
        kind: "tarball",
        sha256: first.entry.source.kind === "tarball" && first.entry.source.sha256,
      },
    });
    expect(readdirSync(join(folder, "kernels"))).toEqual(["mine-6.12"]);
    expect(readdirSync(join(folder, "cache/kernels/sha256"))).toEqual([]);
    const inode = () => statSync(join(folder, "kernels/mine-6.12")).ino;
    const before = inode();
    expect((await pull(first)).changed).toBe(false);
    expect(inode()).toBe(before);
    expect((await pull(first, { force: true })).changed).toBe(true);
    expect(inode()).not.toBe(before);
    const newer = offer([file("vmlinux", kernelBytes({ version: "6.12.2-fixture" }))]);
    expect((await pull(newer)).bundle.manifest.version).toBe("6.12.2-fixture");
  });

  test("takes a kernel that is a link to another file of the archive", async () => {
    const linked = offer([file("kernel", kernelBytes()), hardLink("vmlinux", "kernel")]);
    const { manifest } = (await pull(linked)).bundle;
    expect(manifest.sha256).toBe(sha256(kernelBytes()));
  });

  test("says what is outdated, and keeps a kernel whose entry is gone", async () => {
    const user = service("user");
    const { entry } = offer(good());
    const path = join(folder, "c.json");
    putEntry(path, entry);
    await user.catalogs.add({ from: path, name: "mine" });
    const stateOf = async () => {
      const found = (await user.available()).find(({ name }) => name === "mine-6.12");
      return found && [found.pulled, found.outdated, found.catalog];
    };
    expect(await stateOf()).toEqual([false, false, "mine"]);
    await user.pull("mine-6.12");
    expect(await stateOf()).toEqual([true, false, "mine"]);
    putEntry(path, offer([...good(), file("more")]).entry);
    expect(await stateOf()).toEqual([true, true, "mine"]);
    user.catalogs.remove("mine");
    expect(await stateOf()).toBeUndefined();
    expect((await user.boot("mine-6.12")).path).toContain("vmlinux");
    expect((await user.show("mine-6.12")).source).toContain("tarball: http://127.0.0.1");
  });

  test("goes on where it was cut, without asking for what is here", async () => {
    const offered = offer([file("vmlinux", kernelBytes({ ballast_bytes: 3_000_000 }))]);
    const cache = join(folder, "cache/kernels/sha256");
    mkdirSync(cache, { recursive: true });
    const partial = join(cache, `${hexOf(sha256(offered.archive))}.partial`);
    const half = Math.floor(offered.archive.length / 2);
    writeFileSync(partial, offered.archive.subarray(0, half), { mode: 0o600 });
    // Were the first half asked for, it would now come wrong.
    const damaged = Buffer.from(offered.archive);
    damaged.fill(0, 0, half);
    writeFileSync(join(served, "x.tar.zst"), damaged);
    expect((await pull(offered)).bundle.manifest.version).toBe("6.12.1-fixture");
  });

  test("cancelled leaves no bundle, and reports bytes of bytes", async () => {
    const offered = offer([file("vmlinux", kernelBytes({ ballast_bytes: 3_000_000 }))]);
    const abort = new AbortController();
    const seen: Progress[] = [];
    const work = pullKernel("mine-6.12", {
      dir: join(folder, "kernels"),
      cache: join(folder, "cache"),
      catalog: offered.catalog,
      arch: "amd64",
      signal: abort.signal,
      onProgress: (progress) => {
        seen.push(progress);
        if ((progress.done ?? 0) > 0) abort.abort();
      },
    });
    expect((await bangerErrorOf(work)).code).toBe("cancelled");
    expect(seen[0]).toMatchObject({
      step: "download",
      unit: "bytes",
      total: offered.archive.length,
    });
    expect(readdirSync(join(folder, "kernels"))).toEqual([]);
  });

  test("is refused when it is another file than the catalog says, and leaves nothing", async () => {
    const wrong = {
      "another digest": { sha256: sha256("x") },
      "a smaller size": { size_bytes: 100 },
      "a larger size": { size_bytes: 1_000_000 },
    };
    for (const changes of Object.values(wrong)) {
      const error = await bangerErrorOf(pull(offer(good(), changes as Partial<Entry["source"]>)));
      expect(error.code).toBe("integrity");
      expect(readdirSync(join(folder, "kernels"))).toEqual([]);
    }
    const gone = offer(good());
    rmSync(join(served, "x.tar.zst"));
    expect((await bangerErrorOf(pull(gone))).code).toBe("not_found");
    const nobody = offer(good(), { url: "http://127.0.0.1:1/x" } as Partial<Entry["source"]>);
    expect((await bangerErrorOf(pull(nobody))).code).toBe("unavailable");
  });

  test("is refused without a kernel, or with one that is none or for another machine", async () => {
    const manifest = (changes: object) =>
      file("manifest.json", JSON.stringify({ ...validManifest, ...changes }));
    const bad: [TarSpec[], RegExp][] = [
      [[file("config", "x")], /no vmlinux/],
      [[dir("vmlinux")], /no vmlinux/],
      [[file("vmlinux", kernelBytes()), file("vmlinuz", "x")], /vmlinux and vmlinuz/],
      [[file("vmlinux", "#!/bin/sh")], /"vmlinux" of kernel "mine-6.12": not a vmlinux or bzImage/],
      [
        [file("vmlinux", kernelBytes({ machine: 183 }))],
        /architecture is arm64, the catalog says amd64/,
      ],
      [[file("vmlinux", kernelBytes({ machine: 8 }))], /ELF machine 8/],
      [[...good(), file("manifest.json", "{")], /"manifest.json"/],
      [[...good(), manifest({ sha256: sha256("x") })], /does not match the kernel file/],
      [[...good(), manifest({ modules: [{ name: "a", file: "boot/a.ko" }] })], /module "a"/],
      [[...good(), manifest({ modules: [{ name: "a", file: "../../a.ko" }] })], /"manifest.json"/],
      [[...good(), file("../evil", "x")], /"\.\.\/evil"/],
    ];
    for (const [specs, why] of bad) {
      const error = await bangerErrorOf(pull(offer(specs)));
      expect([error.code, error.message]).toEqual(["integrity", expect.stringMatching(why)]);
      expect(readdirSync(join(folder, "kernels"))).toEqual([]);
    }
    await pull(offer([...good(), manifest({})]));
  });
});

const validManifest = {
  schema: 1,
  name: "other-1.0",
  distro: "other",
  arch: "amd64",
  version: "1.0",
  format: "elf",
  sha256: sha256(kernelBytes()),
  source: { kind: "import", from: "/x" },
  importedAt: "2026-01-02T03:04:05.000Z",
  features: [],
  modules: [],
  initrd: false,
  size_bytes: 5,
};

describe("publishing", () => {
  async function author(): Promise<KernelService> {
    const kernels = service("author");
    await kernels.import({ from: writeKernelFolder(join(folder, "source")), name: "mine-6.12" });
    return kernels;
  }

  async function roundTrip(to: string): Promise<void> {
    const kernels = await author();
    const catalog = join(folder, "catalog.json");
    const key = writeKeyPair(join(folder, "key"));
    const options = { to, url: server.url, catalog, key: key.secret };
    const entry = await kernels.publish("mine-6.12", options);
    expect(entry).toMatchObject({
      name: "mine-6.12",
      arch: "amd64",
      version: "6.12.1-fixture",
      features: ["ext4", "wireguard"],
      source: { kind: "tarball", url: `${server.url}/mine-6.12-amd64.tar.zst` },
    });
    const again = await kernels.publish("mine-6.12", options);
    expect(again).toEqual(entry);
    expect(JSON.parse(readFileSync(catalog, "utf8")).kernels).toEqual([entry]);

    copyFileSync(catalog, join(served, "catalog.json"));
    copyFileSync(`${catalog}.minisig`, join(served, "catalog.json.minisig"));
    const user = service("user");
    await user.catalogs.add({ from: `${server.url}/catalog.json`, name: "theirs", key: key.key });
    const pulled = await user.pull("mine-6.12");
    expect(pulled.digest).toBe((await kernels.show("mine-6.12")).digest);
    expect((await user.select(["wireguard"])).name).toBe("mine-6.12");

    await kernels.unpublish("mine-6.12", { ...options, arch: "amd64" });
    expect(readdirSync(served).filter((name) => name.endsWith(".zst"))).toEqual([]);
    expect(JSON.parse(readFileSync(catalog, "utf8")).kernels).toEqual([]);
    const gone = await bangerErrorOf(kernels.unpublish("mine-6.12", { ...options }));
    expect(gone.code).toBe("not_found");
  }

  test("to a folder, and a pull by somebody else", () => roundTrip(served));

  testWithRclone("to a WebDAV server by rclone, and a pull by somebody else", async () => {
    await using webdav = await serveWebdav(served);
    await roundTrip(`:webdav,url='${webdav.url}':`);
  });

  test("leaves the catalog as it was when the world gets something else", async () => {
    const kernels = await author();
    const catalog = join(folder, "catalog.json");
    writeFileSync(catalog, '{"schema":1,"kernels":[]}');
    const elsewhere = join(folder, "elsewhere");
    mkdirSync(elsewhere);
    const options = { to: elsewhere, url: server.url, catalog };
    expect((await bangerErrorOf(kernels.publish("mine-6.12", options))).code).toBe("not_found");
    writeFileSync(join(served, "mine-6.12-amd64.tar.zst"), "something else");
    const short = await bangerErrorOf(kernels.publish("mine-6.12", options));
    expect([short.code, short.message]).toEqual(["integrity", expect.stringContaining("14 bytes")]);
    const real = readFileSync(join(elsewhere, "mine-6.12-amd64.tar.zst"));
    real[30] = (real[30] ?? 0) ^ 1;
    writeFileSync(join(served, "mine-6.12-amd64.tar.zst"), real);
    const changed = await bangerErrorOf(kernels.publish("mine-6.12", options));
    expect([changed.code, changed.message]).toEqual([
      "integrity",
      expect.stringContaining("digest mismatch"),
    ]);
    expect(readFileSync(catalog, "utf8")).toBe('{"schema":1,"kernels":[]}');
    expect(existsSync("/tmp/banger-publish-")).toBe(false);
  });

  test("is refused to where nothing is, or in words that name nothing", async () => {
    const kernels = await author();
    const rest = { url: server.url, catalog: join(folder, "c.json") };
    const codeOf = async (to: string) =>
      (await bangerErrorOf(kernels.publish("mine-6.12", { ...rest, to }))).code;
    expect(await codeOf(join(folder, "none"))).toBe("not_found");
    expect(await codeOf("https://example.org/x")).toBe("invalid_argument");
    expect(await codeOf("relative")).toBe("invalid_argument");
    const none = await bangerErrorOf(kernels.publish("other-6.12", { ...rest, to: served }));
    expect(none.code).toBe("not_found");
  });

  testWithRclone("says what rclone says when it does not know the remote", async () => {
    const kernels = await author();
    const options = {
      to: "nosuchremote:kernels",
      url: server.url,
      catalog: join(folder, "c.json"),
    };
    const error = await bangerErrorOf(kernels.publish("mine-6.12", options));
    expect([error.code, error.message]).toEqual([
      "unavailable",
      expect.stringContaining("find section in config file"),
    ]);
  });
});

describe("a remote catalog", () => {
  async function serveCatalog(time: string) {
    const path = join(served, "c.json");
    const keyPath = join(folder, "key");
    const key = existsSync(keyPath)
      ? readFileSync(`${keyPath}.pub`, "utf8")
      : writeKeyPair(keyPath).key;
    putEntry(path, offer([file("vmlinux", kernelBytes())]).entry);
    signCatalog(path, keyPath, new Date(time));
    return { from: `${server.url}/c.json`, name: "theirs", key };
  }

  test("is used only as its author signed it", async () => {
    const user = service("user");
    const request = await serveCatalog("2026-01-01");
    const other = writeKeyPair(join(folder, "other")).key;
    const wrong = await bangerErrorOf(user.catalogs.add({ ...request, key: other }));
    expect([wrong.code, wrong.message]).toEqual([
      "integrity",
      expect.stringContaining("signed with key"),
    ]);
    expect(user.catalogs.names()).toEqual([]);
    await user.catalogs.add(request);
    const text = readFileSync(join(served, "c.json"), "utf8");
    writeFileSync(join(served, "c.json"), text.replace("6.12", "6.66"));
    expect((await bangerErrorOf(user.catalogs.update("theirs"))).code).toBe("integrity");
    expect(user.catalogs.entries().kernels.map(({ name }) => name)).toContain("mine-6.12");

    const kept = join(folder, "user/config/catalogs/theirs/catalog.json");
    truncateSync(kept, 100);
    expect((await bangerErrorOf(user.pull("mine-6.12"))).message).toContain("signature");
    writeFileSync(join(served, "c.json"), text);
    await user.catalogs.update("theirs");
    expect((await user.pull("mine-6.12")).name).toBe("mine-6.12");
  });

  test("that the configuration names is fetched when that is asked for, and again at a new address", async () => {
    const { from, key } = await serveCatalog("2026-01-01");
    const line = key.trim().split("\n").at(-1);
    const user = service("user", [`team=${from} ${line}`]);
    const early = await bangerErrorOf(user.pull("mine-6.12"));
    expect([early.code, early.hint]).toEqual(["not_found", "banger kernel catalog update team"]);
    expect(await user.catalogs.update("team")).toMatchObject({ name: "team", kernels: 1 });
    expect((await user.catalogs.update("team")).problem).toBeUndefined();
    expect((await user.pull("mine-6.12")).name).toBe("mine-6.12");
    const moved = service("user", [`team=${from}?moved ${line}`]);
    expect(moved.catalogs.list()[1]?.problem).toContain("not downloaded yet");
    await moved.catalogs.update("team");
    expect(moved.catalogs.list()[1]).toMatchObject({ kernels: 1, problem: undefined });
    expect(service("user").catalogs.names()).toEqual([]);
  });

  test("is not taken back to an older state", async () => {
    const user = service("user");
    await user.catalogs.add(await serveCatalog("2026-02-01"));
    await serveCatalog("2026-01-01");
    const replayed = await bangerErrorOf(user.catalogs.update("theirs"));
    expect([replayed.code, replayed.message]).toEqual([
      "integrity",
      expect.stringContaining("an older signature"),
    ]);
    await serveCatalog("2026-03-01");
    expect((await user.catalogs.update("theirs")).kernels).toBe(1);
  });
});

testWithMinisign("minisign takes our keys and signatures, and we take its", async () => {
  const path = join(folder, "c.json");
  writeFileSync(path, '{"schema":1,"kernels":[]}');
  const { secret, public: publicPath, key } = writeKeyPair(join(folder, "key"));
  signCatalog(path, secret);
  expect(await runOk(["minisign", "-V", "-p", publicPath, "-m", path])).toContain("verified");
  for (const kind of [[], ["-l"]]) {
    await runOk(["minisign", "-S", ...kind, "-W", "-s", secret, "-m", path]);
    const signature = readFileSync(`${path}.minisig`, "utf8");
    const known = { key: parsePublicKey(key), what: "it" };
    expect(verify(readFileSync(path), signature, known).timestamp_s).toBeGreaterThan(1e9);
  }
  const theirs = { secret: join(folder, "t"), public: join(folder, "t.pub") };
  await runOk(["minisign", "-G", "-W", "-s", theirs.secret, "-p", theirs.public]);
  signCatalog(path, theirs.secret);
  await runOk(["minisign", "-V", "-p", theirs.public, "-m", path]);
});
