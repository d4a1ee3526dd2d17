/** `banger image …` from the command line through a daemon of its own to a real registry. */
import { afterAll, beforeAll, expect } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Image, ImageOutdated } from "#api/image.ts";
import type { ImageGcResult, ImageUsage } from "#api/image-space.ts";
import { type Installation, install } from "#test/installation.ts";
import { testNeeding } from "#test/needs.ts";
import { makeImage, pushImage } from "#test/oci-image.ts";
import { type Registry, startRegistry } from "#test/registry.ts";

const here = testNeeding("docker-registry");

let banger: Installation;
let registry: Registry;

beforeAll(async () => {
  if (!Bun.which("docker-registry")) return;
  registry = await startRegistry();
  banger = install();
  const mirrors = [registry.host, `quay.io=${registry.host}`];
  appendFileSync(
    join(banger.home, "config/banger/config.toml"),
    `\n[registry]\nmirrors = ${JSON.stringify(mirrors)}\n`,
  );
});

afterAll(async () => {
  await banger?.[Symbol.asyncDispose]();
  await registry?.stop();
});

function at(name: string): string {
  return join(banger.home, name);
}

async function ok(...words: string[]): Promise<string> {
  return (await banger.ok(...words)).trimEnd();
}

function json<T>(...words: string[]): Promise<T> {
  return banger.json<T>(...words);
}

/** The exit status, which says what kind of failure it was. */
async function statusOf(...words: string[]): Promise<number> {
  return (await banger.call(words)).status;
}

async function publish(name: string, tag: string, content: string) {
  const image = await makeImage({ layers: [{ content }] });
  await pushImage(image, { host: registry.host, name }, [tag]);
  return image;
}

const PLATFORM = ["--platform", "linux/amd64"];

here(
  "images are pulled through the mirrors of the configuration, by reference and by name",
  async () => {
    const debian = await publish("library/debian", "bookworm", "debian");
    await publish("team/app", "v1", "app");
    const entry = {
      name: "debian-bookworm",
      aliases: ["debian"],
      arch: ["amd64", "arm64"],
      description: "Without a kernel to fetch",
      source: { kind: "registry", reference: "docker.io/library/debian:bookworm" },
    };
    const catalog = at("config/banger/images.json");
    writeFileSync(catalog, JSON.stringify({ schema: 1, images: [entry] }));
    expect(await ok("image", "list", "--available", "-q")).toContain("debian-bookworm");
    expect(await ok("image", "pull", "debian", ...PLATFORM)).toBe("debian-bookworm");
    expect(await ok("image", "pull", "quay.io/team/app:v1", ...PLATFORM)).toBe("app-v1");
    const image = await json<Image>("image", "show", "debian");
    expect(image).toMatchObject({
      reference: "docker.io/library/debian:bookworm",
      digest: debian.manifest.digest,
      managed: true,
    });
    expect(await ok("image", "history", "debian-bookworm")).toContain("sha256:");
  },
);

here("an image is updated, tagged, pushed, saved, measured and removed", async () => {
  await publish("library/tool", "v1", "one");
  const fresh = await ok("image", "pull", "tool:v1", ...PLATFORM);
  const newer = await publish("library/tool", "v1", "two");
  const states = await json<ImageOutdated[]>("image", "outdated", fresh);
  expect(states).toMatchObject([{ name: "tool-v1", state: "outdated" }]);
  expect(await ok("image", "outdated")).toMatch(/^tool-v1 +outdated/m);
  expect(await ok("image", "update", "--all")).toBe("tool-v1");
  expect((await json<Image>("image", "show", "tool-v1")).digest).toBe(newer.manifest.digest);
  expect(await ok("image", "update", "--all")).toBe("");
  expect(await statusOf("image", "update")).toBe(2);

  expect(await ok("image", "tag", "tool-v1", "stable")).toBe("stable");
  const pushed = await ok("image", "push", "stable", `${registry.host}/out/stable:v1`);
  expect(pushed).toMatch(/^127\.0\.0\.1:\d+\/out\/stable:v1@sha256:[0-9a-f]{64}$/);
  expect(await ok("image", "save", "stable", "--oci", at("stable.tar"))).toBe(at("stable.tar"));
  expect(await ok("image", "save", "stable", "--docker", at("docker.tar"))).toContain(
    at("docker.tar"),
  );
  expect(await statusOf("image", "save", "stable")).toBe(2);
  expect(await statusOf("image", "save", "stable", "--oci", at("stable.tar"))).toBe(5);
  expect(
    await ok("image", "pull", `oci-archive:${at("stable.tar")}`, "--name", "back", ...PLATFORM),
  ).toBe("back");
  const usage = await json<ImageUsage>("image", "du");
  const shared = usage.images.filter(({ shared_bytes }) => shared_bytes > 0);
  expect(shared.map(({ name }) => name)).toEqual(["stable", "tool-v1"]);
  expect(await ok("image", "du")).toContain("Reclaimable:");
  await ok("image", "rm", "stable", "tool-v1", "back");
  const planned = await json<ImageGcResult>("image", "gc", "--dry-run");
  expect(planned.blobs).toBeGreaterThan(0);
  expect(await json<ImageGcResult>("image", "gc")).toEqual(planned);
});

here("files of the user's become an image and are taken in", async () => {
  await publish("library/base", "v1", "base");
  await ok("image", "pull", "base:v1", ...PLATFORM);
  const { rootfs } = await json<Image>("image", "show", "base-v1");
  writeFileSync(at("my.ext4"), readFileSync(rootfs));
  mkdirSync(at("seed"));
  writeFileSync(at("seed/note"), "hello");
  expect(await statusOf("image", "register", "mine")).toBe(2);
  expect(await statusOf("image", "register", "mine", "--rootfs", at("seed/note"))).toBe(12);
  const kernel = ["--kernel", at("seed/note")];
  expect(
    (await banger.call(["image", "register", "mine", "--rootfs", at("my.ext4"), ...kernel])).stderr,
  ).toContain("not a vmlinux or bzImage");
  const missing = ["--kernel-ref", "none-1.0"];
  expect(await statusOf("image", "register", "mine", "--rootfs", at("my.ext4"), ...missing)).toBe(
    4,
  );
  expect(
    await ok("image", "register", "mine", "--rootfs", at("my.ext4"), "--work-seed", at("seed")),
  ).toBe("mine");
  const image = await json<Image>("image", "show", "mine");
  expect(image).toMatchObject({ managed: false, rootfs: at("my.ext4") });
  expect(existsSync(image.files.workSeed ?? "")).toBe(true);
  expect(await statusOf("image", "push", "mine", `${registry.host}/x/y:z`)).toBe(6);
  expect(await ok("image", "promote", "mine")).toBe("mine");
  rmSync(at("my.ext4"));
  expect(await json<Image>("image", "show", "mine")).toMatchObject({ managed: true });
  await ok("image", "push", "mine", `${registry.host}/x/y:z`);
  await ok("image", "rm", "mine", "base-v1");
  expect(existsSync(image.files.workSeed ?? "")).toBe(false);
});
