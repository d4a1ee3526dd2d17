/** Pulls from a real registry: what works, and what a user is told when it does not. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { configure, reset } from "@logtape/logtape";
import type { Progress } from "#base/progress.ts";
import type { OpenedImage } from "#oci/image.ts";
import type { Layer } from "#oci/layer.ts";
import { type OpenOptions, openImage } from "#oci/source.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { type MadeImage, makeImage, makeIndex, pushImage, pushManifest } from "#test/oci-image.ts";
import { startProxy } from "#test/proxy.ts";
import { type Registry, startRegistry } from "#test/registry.ts";
import { startTokenServer } from "#test/token-server.ts";

const NAME = "library/thing";
const LOGIN = { user: "alice", password: "s3cret-w0rd" };
const BASIC = `Basic ${btoa(`${LOGIN.user}:${LOGIN.password}`)}`;

let folder: string;
let registry: Registry;
let image: MadeImage;
let other: MadeImage;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "banger-registry-test-"));
  registry = await startRegistry();
  const target = { host: registry.host, name: NAME };
  image = await makeImage({ layers: [{ a: "one" }, { b: "two" }, { a: "one" }] });
  other = await makeImage({ architecture: "arm64", layers: [{ a: "ARM" }] });
  await pushImage(image, target, ["single"]);
  await pushImage(other, target);
  await pushManifest(makeIndex([image, other]), target, "latest");
});

afterAll(async () => {
  await registry?.stop();
  rmSync(folder, { recursive: true, force: true });
});

function options(extra: Partial<OpenOptions> = {}): OpenOptions {
  const cacheDir = mkdtempSync(join(folder, "cache-"));
  return { cacheDir, platform: "linux/amd64", retryDelay_ms: 1, ...extra };
}

async function bytesOf(layer: Layer): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(layer.compressed()));
}

async function expectLayers(opened: OpenedImage, made: MadeImage): Promise<void> {
  expect(opened.layers.length).toBe(made.layers.length);
  for (const [index, layer] of opened.layers.entries()) {
    const stored = made.layers[index];
    expect(layer.digest).toBe(stored?.digest ?? layer.diffId);
    expect(layer.size).toBe(stored?.bytes.length ?? -1);
    expect((await bytesOf(layer)).equals(stored?.bytes ?? new Uint8Array())).toBe(true);
  }
}

function configWith(auths: Record<string, unknown>): string {
  const path = join(mkdtempSync(join(folder, "docker-")), "config.json");
  writeFileSync(path, JSON.stringify({ auths }));
  return path;
}

test("openImage() pulls a tag anonymously and reports each layer", async () => {
  const steps: Progress[] = [];
  const settings = options({ onProgress: (step) => steps.push(step) });
  await using opened = await openImage(`${registry.host}/${NAME}:single`, settings);
  expect(opened.reference).toBe(`${registry.host}/${NAME}:single`);
  expect(opened.manifestDigest).toBe(image.manifest.digest);
  expect(opened.configDigest).toBe(image.config.digest);
  expect(opened.config.cmd).toEqual(["/bin/sh"]);
  expect(opened.platform).toEqual({ os: "linux", architecture: "amd64" });
  await expectLayers(opened, image);
  for (const { digest, bytes } of image.layers) {
    const own = steps.filter(({ step }) => step === `layer ${digest.slice(7, 19)}`);
    expect(own.at(-1)).toMatchObject({ done: bytes.length, total: bytes.length, unit: "bytes" });
  }
});

test("openImage() chooses the platform from an index", async () => {
  const name = `${registry.host}/${NAME}`;
  await using one = await openImage(name, options());
  await using two = await openImage(name, options({ platform: "arm64" }));
  expect(one.manifestDigest).toBe(image.manifest.digest);
  expect(two.manifestDigest).toBe(other.manifest.digest);
  await expectLayers(two, other);
});

test("openImage() names the platforms that exist when the wanted one does not", async () => {
  const name = `${registry.host}/${NAME}`;
  const error = await bangerErrorOf(openImage(name, options({ platform: "linux/s390x" })));
  expect(error.code).toBe("unsupported");
  expect(error.message).toContain("linux/amd64, linux/arm64");
  expect(error.hint).toContain("--platform linux/amd64");
  const single = await bangerErrorOf(
    openImage(`${name}:single`, options({ platform: "linux/arm64" })),
  );
  expect(single.code).toBe("unsupported");
});

test("openImage() pulls by digest, and a second time without the registry's manifest", async () => {
  await using proxy = await startProxy(registry.host);
  const settings = options();
  const name = `${proxy.host}/${NAME}:ignored@${other.manifest.digest}`;
  const arm = { ...settings, platform: "arm64" };
  {
    await using opened = await openImage(name, arm);
    await expectLayers(opened, other);
  }
  const before = proxy.seen.length;
  await using again = await openImage(name, arm);
  await expectLayers(again, other);
  expect(again.manifestDigest).toBe(other.manifest.digest);
  expect(proxy.seen.length).toBe(before);
});

test("openImage() asks for a known tag with one HEAD only", async () => {
  await using proxy = await startProxy(registry.host);
  const settings = options();
  const name = `${proxy.host}/${NAME}:single`;
  {
    await using opened = await openImage(name, settings);
    await expectLayers(opened, image);
  }
  proxy.seen.length = 0;
  await using again = await openImage(name, settings);
  await expectLayers(again, image);
  expect(proxy.seen.map(({ method }) => method)).toEqual(["HEAD"]);
});

test("openImage() says which tag and which repository are not there", async () => {
  const name = `${registry.host}/${NAME}:nope`;
  const tag = await bangerErrorOf(openImage(name, options()));
  expect(tag.code).toBe("not_found");
  expect(tag.message).toContain(name);
  const missing = `${registry.host}/no/such`;
  const repository = await bangerErrorOf(openImage(missing, options()));
  expect(repository.code).toBe("not_found");
  expect(repository.message).toContain(missing);
});

test("openImage() says that the registry is down", async () => {
  const gone = await startRegistry();
  await gone.stop();
  const error = await bangerErrorOf(openImage(`${gone.host}/x`, options()));
  expect(error.code).toBe("unavailable");
  expect(error.message).toContain(gone.host);
  expect(error.hint).toBeDefined();
});

test("openImage() logs in with docker's config where the registry asks for basic", async () => {
  await using closed = await startRegistry({ login: LOGIN });
  await pushImage(image, { host: closed.host, name: NAME, authorization: BASIC }, ["latest"]);
  const name = `${closed.host}/${NAME}`;
  const anonymous = await bangerErrorOf(openImage(name, options()));
  expect(anonymous.code).toBe("unauthorized");
  expect(anonymous.hint).toContain(`docker login ${closed.host}`);

  const auth = btoa(`${LOGIN.user}:wrong-w0rd`);
  const wrong = configWith({ [closed.host]: { auth } });
  const refused = await bangerErrorOf(openImage(name, options({ dockerConfigPath: wrong })));
  expect(refused.code).toBe("unauthorized");
  expect(JSON.stringify([refused.message, refused.hint, String(refused.cause)])).not.toMatch(
    new RegExp(`wrong-w0rd|${auth}`),
  );

  const right = configWith({ [`http://${closed.host}/v1/`]: { auth: BASIC.slice(6) } });
  await using opened = await openImage(name, options({ dockerConfigPath: right }));
  await expectLayers(opened, image);
});

test("openImage() fetches a token that the registry believes, anonymously and with a login", async () => {
  const scratch = mkdtempSync(join(folder, "token-"));
  await using tokens = await startTokenServer(scratch);
  await using guarded = await startRegistry({ auth: tokens.auth });
  const authorization = tokens.pushAuthorization(NAME);
  await pushImage(image, { host: guarded.host, name: NAME, authorization }, ["latest"]);
  const name = `${guarded.host}/${NAME}`;
  await using opened = await openImage(name, options());
  await expectLayers(opened, image);
  expect(tokens.asked).toEqual([
    { scope: `repository:${NAME}:pull`, service: "test-registry", authorization: null },
  ]);

  const auths = { [guarded.host]: { username: LOGIN.user, password: LOGIN.password } };
  const dockerConfigPath = configWith(auths);
  await using again = await openImage(name, options({ dockerConfigPath }));
  await expectLayers(again, image);
  expect(tokens.asked.at(-1)?.authorization).toBe(BASIC);
});

test("openImage() says so when the token server refuses the login", async () => {
  const scratch = mkdtempSync(join(folder, "token-"));
  await using tokens = await startTokenServer(scratch, { authorization: "Basic bm90OnlvdQ==" });
  await using guarded = await startRegistry({ auth: tokens.auth });
  const error = await bangerErrorOf(openImage(`${guarded.host}/${NAME}`, options()));
  expect(error.code).toBe("unauthorized");
  expect(error.hint).toContain("docker login");
});

test("openImage() takes a mirror first, and the registry when the mirror fails", async () => {
  await using mirror = await startProxy(registry.host);
  const mirrors = { "registry.invalid": [mirror.host] };
  await using opened = await openImage(`registry.invalid/${NAME}:single`, options({ mirrors }));
  await expectLayers(opened, image);
  expect(opened.reference).toBe(`registry.invalid/${NAME}:single`);

  await using broken = await startProxy(registry.host, {
    trouble: () => ({ kind: "answer", status: 503 }),
  });
  const failing = { [registry.host]: [broken.host] };
  const name = `${registry.host}/${NAME}:single`;
  await using direct = await openImage(name, options({ mirrors: failing }));
  await expectLayers(direct, image);
  expect(broken.seen.length).toBeGreaterThan(0);
});

test("openImage() asks a mirror that lacks one thing for the rest, and logs what it lacks", async () => {
  const logged: string[] = [];
  await configure({
    reset: true,
    sinks: { list: ({ message }) => logged.push(message.join("")) },
    loggers: [{ category: ["banger", "oci"], lowestLevel: "warning", sinks: ["list"] }],
  });
  await using mirror = await startProxy(registry.host, {
    trouble: ({ path }) =>
      path.includes("/manifests/") || path.endsWith(image.layers[0]?.digest ?? "")
        ? { kind: "answer", status: 404 }
        : undefined,
  });
  const mirrors = { [registry.host]: [mirror.host] };
  const name = `${registry.host}/${NAME}:single`;
  try {
    await using opened = await openImage(name, options({ mirrors }));
    await expectLayers(opened, image);
  } finally {
    await reset();
  }
  const asked = mirror.seen.map(({ path }) => path);
  for (const { digest } of [image.config, ...image.layers]) {
    expect(asked.some((path) => path.endsWith(digest))).toBe(true);
  }
  expect(logged.length).toBeGreaterThanOrEqual(2);
  expect(logged[0]).toContain(mirror.host);
  expect(logged[0]).toContain("404");
});

test("openImage() leaves whole blobs in the cache and nothing else", async () => {
  const settings = options();
  await using opened = await openImage(`${registry.host}/${NAME}:single`, settings);
  await expectLayers(opened, image);
  const parts = [image.manifest, image.config, ...image.layers];
  const names = [...new Set(parts.map(({ digest }) => digest.slice(7)))].sort();
  expect(readdirSync(join(settings.cacheDir, "sha256")).sort()).toEqual(names);
});
