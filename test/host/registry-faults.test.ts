/** Pulls through a proxy that does to a real registry's answers what networks and attackers do. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { runOk } from "#base/run.ts";
import { MiB } from "#base/size.ts";
import { type OpenOptions, openImage } from "#oci/source.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { json, type MadeImage, makeImage, pushImage } from "#test/oci-image.ts";
import { type SeenRequest, startProxy, type Trouble } from "#test/proxy.ts";
import { type Registry, startRegistry } from "#test/registry.ts";

const NAME = "library/big";
const LOGIN = { user: "alice", password: "s3cret-w0rd" };
const BASIC = `Basic ${btoa(`${LOGIN.user}:${LOGIN.password}`)}`;

let folder: string;
let registry: Registry;
let image: MadeImage;
let layerPath: string;
let layer: Uint8Array;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "banger-faults-"));
  registry = await startRegistry();
  image = await makeImage({ layers: [{ noise: randomBytes(3 * MiB) }] });
  await pushImage(image, { host: registry.host, name: NAME }, ["latest"]);
  const stored = image.layers[0];
  if (!stored) throw new Error("the image has no layer");
  layer = stored.bytes;
  layerPath = `/v2/${NAME}/blobs/${stored.digest}`;
});

afterAll(async () => {
  await registry?.stop();
  rmSync(folder, { recursive: true, force: true });
});

function options(extra: Partial<OpenOptions> = {}): OpenOptions {
  const cacheDir = mkdtempSync(join(folder, "cache-"));
  return { cacheDir, platform: "linux/amd64", retryDelay_ms: 1, ...extra };
}

async function pull(host: string, settings: OpenOptions): Promise<Buffer> {
  await using opened = await openImage(`${host}/${NAME}`, settings);
  const chunks: Uint8Array[] = [];
  for (const each of opened.layers) {
    for await (const chunk of each.compressed()) chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Troubles for the first requests of the layer; then it passes. */
function onLayer(...troubles: Trouble[]): (request: SeenRequest) => Trouble | undefined {
  return ({ path, method }) =>
    path === layerPath && method === "GET" ? troubles.shift() : undefined;
}

function layerRequests(seen: readonly SeenRequest[]): SeenRequest[] {
  return seen.filter(({ path }) => path === layerPath);
}

function cached(settings: OpenOptions): string[] {
  return readdirSync(join(settings.cacheDir, "sha256"));
}

test("a pull goes on by Range where the connection was cut", async () => {
  const trouble = onLayer(
    { kind: "cut", after_bytes: 1 * MiB },
    { kind: "cut", after_bytes: 512 * 1024 },
  );
  await using proxy = await startProxy(registry.host, { trouble });
  expect((await pull(proxy.host, options())).equals(layer)).toBe(true);
  const ranges = layerRequests(proxy.seen).map(({ range }) => range);
  expect(ranges.length).toBe(3);
  expect(ranges[0]).toBeUndefined();
  for (const range of ranges.slice(1)) expect(range).toMatch(/^bytes=[1-9]\d*-$/);
});

test("a pull goes on where the registry does not know Range", async () => {
  const trouble = onLayer({ kind: "cut", after_bytes: 1 * MiB }, { kind: "whole" });
  await using proxy = await startProxy(registry.host, { trouble });
  expect((await pull(proxy.host, options())).equals(layer)).toBe(true);
  expect(layerRequests(proxy.seen).length).toBe(2);
});

test("a pull begins anew where the registry refuses the part that is missing", async () => {
  const trouble = onLayer(
    { kind: "cut", after_bytes: 1 * MiB },
    { kind: "answer", status: 416 },
    { kind: "cut", after_bytes: 2 * MiB },
    { kind: "answer", status: 416 },
  );
  await using proxy = await startProxy(registry.host, { trouble });
  expect((await pull(proxy.host, options())).equals(layer)).toBe(true);
  const ranges = layerRequests(proxy.seen).map(({ range }) => range !== undefined);
  expect(ranges).toEqual([false, true, false, true, false]);
});

test("a manifest and a config that were compressed on the way are undone", async () => {
  const packs = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync };
  for (const [encoding, compress] of Object.entries(packs)) {
    await using proxy = await startProxy(registry.host, {
      trouble: ({ path, method }) => {
        const isConfig = path.endsWith(image.config.digest);
        const found = isConfig ? image.config : image.manifest;
        if (method !== "GET" || (!isConfig && !path.includes("/manifests/"))) return undefined;
        const headers = { "content-encoding": encoding, "content-type": found.mediaType };
        return { kind: "answer", status: 200, headers, body: compress(found.bytes) };
      },
    });
    expect((await pull(proxy.host, options())).equals(layer)).toBe(true);
  }
});

test("a layer that is said to be compressed on the way, and is as it was stored, is taken", async () => {
  await using proxy = await startProxy(registry.host, {
    trouble: ({ path }) =>
      path === layerPath
        ? { kind: "answer", status: 200, headers: said(layer), body: layer }
        : undefined,
  });
  expect((await pull(proxy.host, options())).equals(layer)).toBe(true);
});

function said(bytes: Uint8Array): Record<string, string> {
  return { "content-encoding": "gzip", "content-length": String(bytes.length) };
}

test("a pull survives a cut at every tenth of the layer", async () => {
  for (let tenth = 0; tenth < 10; tenth++) {
    const after_bytes = Math.floor((layer.length * tenth) / 10);
    const trouble = onLayer({ kind: "cut", after_bytes });
    await using proxy = await startProxy(registry.host, { trouble });
    expect((await pull(proxy.host, options())).equals(layer)).toBe(true);
  }
});

test("a pull that is cut for ever ends as unavailable, and the next one goes on from there", async () => {
  let isBroken = true;
  await using proxy = await startProxy(registry.host, {
    trouble: ({ path, range }) => {
      if (!isBroken || path !== layerPath) return undefined;
      return { kind: "cut", after_bytes: range ? 0 : 1 * MiB };
    },
  });
  const settings = options();
  const error = await bangerErrorOf(pull(proxy.host, settings));
  expect(error.code).toBe("unavailable");
  expect(cached(settings).filter((name) => name.endsWith(".partial")).length).toBe(1);
  isBroken = false;
  proxy.seen.length = 0;
  expect((await pull(proxy.host, settings)).equals(layer)).toBe(true);
  expect(layerRequests(proxy.seen).map(({ range }) => range)).toEqual([
    expect.stringMatching(/^bytes=[1-9]\d*-$/),
  ]);
  expect(cached(settings).filter((name) => name.endsWith(".partial"))).toEqual([]);
});

test("a pull that stalls is cut and resumed", async () => {
  const trouble = onLayer({ kind: "stall", after_bytes: 1 * MiB });
  await using proxy = await startProxy(registry.host, { trouble });
  const settings = options({ stallTimeout_ms: 300 });
  expect((await pull(proxy.host, settings)).equals(layer)).toBe(true);
  expect(layerRequests(proxy.seen).length).toBe(2);
});

test("a flipped byte ends the pull as an integrity error, and nothing of it is kept", async () => {
  const trouble = onLayer({ kind: "flip", at_byte: 2 * MiB });
  await using proxy = await startProxy(registry.host, { trouble });
  const settings = options();
  const error = await bangerErrorOf(pull(proxy.host, settings));
  expect(error.code).toBe("integrity");
  const hex = layerPath.slice(-64);
  expect(cached(settings).filter((name) => name.startsWith(hex))).toEqual([]);
  expect((await pull(proxy.host, settings)).equals(layer)).toBe(true);
});

test("another manifest than the one that was asked for is an integrity error", async () => {
  const { bytes, digest } = image.manifest;
  const body = `${Buffer.from(bytes)} `;
  const answers: Record<string, string>[] = [{}, { "docker-content-digest": digest }];
  for (const headers of answers) {
    await using proxy = await startProxy(registry.host, {
      trouble: ({ path }) =>
        path.includes("/manifests/") ? { kind: "answer", status: 200, headers, body } : undefined,
    });
    const name = `${proxy.host}/${NAME}`;
    const pinned = await bangerErrorOf(openImage(`${name}@${digest}`, options()));
    expect(pinned.code).toBe("integrity");
    if (!("docker-content-digest" in headers)) continue;
    expect((await bangerErrorOf(openImage(name, options()))).code).toBe("integrity");
  }
});

test("a manifest that lies about a layer's size is an integrity error", async () => {
  for (const lie of [-1, 1, 1000]) {
    const lying = await makeImage({
      layers: [{ noise: "x".repeat(5000) }],
      spoil(manifest) {
        for (const entry of manifest["layers"] as { size: number }[]) entry.size += lie;
      },
    });
    const target = { host: registry.host, name: "library/lie" };
    await pushImage({ ...lying, manifest: json("application/json", {}) }, target).catch(() => {});
    await using proxy = await startProxy(registry.host, {
      trouble: ({ path }) =>
        path.includes("/manifests/")
          ? { kind: "answer", status: 200, body: Buffer.from(lying.manifest.bytes).toString() }
          : undefined,
    });
    await using opened = await openImage(`${proxy.host}/library/lie`, options());
    const read = Array.fromAsync(opened.layers[0]?.compressed() ?? []);
    expect((await bangerErrorOf(read)).code).toBe("integrity");
  }
});

test("credentials do not follow a redirect to another host", async () => {
  await using closed = await startRegistry({ login: LOGIN });
  await pushImage(image, { host: closed.host, name: NAME, authorization: BASIC }, ["latest"]);
  await using elsewhere = await startProxy(closed.host, { authorization: BASIC });
  await using proxy = await startProxy(closed.host, {
    trouble: ({ path, authorization }) => {
      if (!path.includes("/blobs/") || !authorization) return undefined;
      const location = `http://${elsewhere.host}${path}`;
      return { kind: "answer", status: 307, headers: { location } };
    },
  });
  const dockerConfigPath = join(folder, "redirect.json");
  writeFileSync(
    dockerConfigPath,
    JSON.stringify({ auths: { [proxy.host]: { auth: BASIC.slice(6) } } }),
  );
  expect((await pull(proxy.host, options({ dockerConfigPath }))).equals(layer)).toBe(true);
  expect(layerRequests(elsewhere.seen).length).toBe(1);
  expect(elsewhere.seen.filter(({ authorization }) => authorization)).toEqual([]);
  expect(layerRequests(proxy.seen).at(-1)?.authorization).toBe(BASIC);
});

test("a host that a redirect leads to gets no login by asking for one", async () => {
  await using tokens = await startProxy(registry.host, {
    trouble: () => ({ kind: "answer", status: 200, body: '{"token":"abc"}' }),
  });
  const challenge = `Bearer realm="http://${tokens.host}/token", Basic realm="give it to me"`;
  await using elsewhere = await startProxy(registry.host, {
    trouble: () => ({ kind: "answer", status: 401, headers: { "www-authenticate": challenge } }),
  });
  await using proxy = await startProxy(registry.host, {
    trouble: ({ path }) => {
      const location = `http://${elsewhere.host}${path}`;
      return { kind: "answer", status: 302, headers: { location } };
    },
  });
  const dockerConfigPath = join(folder, "lure.json");
  const auth = BASIC.slice(6);
  const auths = { [proxy.host]: { auth }, [elsewhere.host]: { auth } };
  writeFileSync(dockerConfigPath, JSON.stringify({ auths }));
  const error = await bangerErrorOf(pull(proxy.host, options({ dockerConfigPath })));
  expect(error.code).toBe("unauthorized");
  expect(tokens.seen).toEqual([]);
  expect(elsewhere.seen.filter(({ authorization }) => authorization)).toEqual([]);
});

test("redirects without end are given up", async () => {
  await using proxy = await startProxy(registry.host, {
    trouble: () => ({ kind: "answer", status: 302, headers: { location: "/v2/round" } }),
  });
  expect((await bangerErrorOf(pull(proxy.host, options()))).code).toBe("unavailable");
  expect(proxy.seen.length).toBeLessThan(20);
});

test("a registry that asks for a login again and again is given up", async () => {
  await using tokens = await startProxy(registry.host, {
    trouble: () => ({ kind: "answer", status: 200, body: '{"token":"abc"}' }),
  });
  const challenge = `Bearer realm="http://${tokens.host}/token",service="x"`;
  await using proxy = await startProxy(registry.host, {
    trouble: () => ({
      kind: "answer",
      status: 401,
      headers: { "www-authenticate": challenge },
    }),
  });
  const error = await bangerErrorOf(pull(proxy.host, options()));
  expect(error.code).toBe("unauthorized");
  expect(proxy.seen.length).toBeLessThanOrEqual(4);
  expect(tokens.seen.length).toBeLessThanOrEqual(2);
});

test("a registry that is busy is asked again, and a registry that stays so is unavailable", async () => {
  const busy: Trouble = { kind: "answer", status: 429, headers: { "retry-after": "0" } };
  const trouble = onLayer(busy, { kind: "answer", status: 503 });
  await using proxy = await startProxy(registry.host, { trouble });
  expect((await pull(proxy.host, options())).equals(layer)).toBe(true);

  await using dead = await startProxy(registry.host, { trouble: () => busy });
  const error = await bangerErrorOf(pull(dead.host, options()));
  expect(error.code).toBe("unavailable");
  expect(error.message).toContain("429");

  const patient: Trouble = { kind: "answer", status: 429, headers: { "retry-after": "86400" } };
  await using closed = await startProxy(registry.host, { trouble: () => patient });
  expect((await bangerErrorOf(pull(closed.host, options()))).code).toBe("unavailable");
  expect(closed.seen.length).toBeLessThanOrEqual(2);
});

test("an obsolete manifest is refused with what to do about it", async () => {
  const body = '{"schemaVersion":1,"name":"x","tag":"y","fsLayers":[],"history":[]}';
  const headers = { "content-type": "application/vnd.docker.distribution.manifest.v1+prettyjws" };
  await using proxy = await startProxy(registry.host, {
    trouble: () => ({ kind: "answer", status: 200, headers, body }),
  });
  const error = await bangerErrorOf(pull(proxy.host, options()));
  expect(error.code).toBe("unsupported");
  expect(error.hint).toContain("Push the image again");
});

test("a manifest without end is not read to its end", async () => {
  await using proxy = await startProxy(registry.host, {
    trouble: () => ({ kind: "answer", status: 200, body: "x".repeat(5 * MiB) }),
  });
  expect((await bangerErrorOf(pull(proxy.host, options()))).code).toBe("limit_exceeded");
});

test("two pulls at once in one process transfer a layer once", async () => {
  await using proxy = await startProxy(registry.host);
  const settings = options();
  const pulls = await Promise.all([1, 2, 3].map(() => pull(proxy.host, settings)));
  for (const bytes of pulls) expect(bytes.equals(layer)).toBe(true);
  expect(layerRequests(proxy.seen).length).toBe(1);
});

test("a cancelled pull leaves another one of the same layer running", async () => {
  const trouble = onLayer({ kind: "stall", after_bytes: 1 * MiB });
  await using proxy = await startProxy(registry.host, { trouble });
  const settings = options({ stallTimeout_ms: 500 });
  const controller = new AbortController();
  const cancelled = bangerErrorOf(pull(proxy.host, { ...settings, signal: controller.signal }));
  const other = pull(proxy.host, settings);
  const partial = join(settings.cacheDir, "sha256", `${layerPath.slice(-64)}.partial`);
  while (!existsSync(partial)) await Bun.sleep(5);
  controller.abort();
  expect((await cancelled).code).toBe("cancelled");
  expect((await other).equals(layer)).toBe(true);
});

test("two processes that pull the same layer transfer it once", async () => {
  const trouble = onLayer({ kind: "stall", after_bytes: 1 * MiB });
  await using proxy = await startProxy(registry.host, { trouble });
  const settings = options({ stallTimeout_ms: 1500 });
  const ours = pull(proxy.host, settings);
  const partial = join(settings.cacheDir, "sha256", `${layerPath.slice(-64)}.partial`);
  while (!existsSync(partial)) await Bun.sleep(5);
  const program = fileURLToPath(import.meta.resolve("#test/pull-layers.ts"));
  const theirs = runOk([process.execPath, program, `${proxy.host}/${NAME}`, settings.cacheDir]);
  expect((await ours).equals(layer)).toBe(true);
  expect((await theirs).trim()).toBe(String(layer.length));
  // The second request is the rest, after the stall.
  expect(layerRequests(proxy.seen).length).toBe(2);
});

test("a cancelled pull stops at once and keeps what has arrived", async () => {
  const trouble = onLayer({ kind: "stall", after_bytes: 2 * MiB });
  await using proxy = await startProxy(registry.host, { trouble });
  const settings = options();
  const controller = new AbortController();
  const pulling = bangerErrorOf(pull(proxy.host, { ...settings, signal: controller.signal }));
  const partial = join(settings.cacheDir, "sha256", `${layerPath.slice(-64)}.partial`);
  while (!existsSync(partial) || statSync(partial).size < 1 * MiB) await Bun.sleep(5);
  controller.abort();
  expect((await pulling).code).toBe("cancelled");
  proxy.seen.length = 0;
  expect((await pull(proxy.host, settings)).equals(layer)).toBe(true);
  expect(layerRequests(proxy.seen)[0]?.range).toMatch(/^bytes=[1-9]/);
});

test("a damaged blob in the cache is found, removed and fetched anew", async () => {
  const settings = options();
  await pull(registry.host, settings);
  const path = join(settings.cacheDir, "sha256", layerPath.slice(-64));
  const bytes = Buffer.from(layer);
  bytes[100] = (bytes[100] ?? 0) ^ 1;
  writeFileSync(path, bytes);
  const error = await bangerErrorOf(pull(registry.host, settings));
  expect(error.code).toBe("integrity");
  expect(existsSync(path)).toBe(false);
  expect((await pull(registry.host, settings)).equals(layer)).toBe(true);
});

test("a full disk ends the pull with no_space and leaves nothing of the layer", async () => {
  const small = mkdtempSync(join(folder, "small-"));
  await runOk(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small]);
  try {
    const error = await bangerErrorOf(pull(registry.host, options({ cacheDir: small })));
    expect(error.code).toBe("no_space");
    const hex = layerPath.slice(-64);
    expect(readdirSync(join(small, "sha256")).filter((name) => name.startsWith(hex))).toEqual([]);
  } finally {
    await runOk(["umount", small]);
  }
});
