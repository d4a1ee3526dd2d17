/** Pulls of whole images through a proxy that makes trouble, in front of a real registry. */
import { afterAll, beforeAll, expect } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { BangerError, ErrorCode } from "#base/error.ts";
import { run, runOk } from "#base/run.ts";
import { MiB } from "#base/size.ts";
import { openExt4 } from "#ext4/read/reader.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { leftovers, openStoreAt, openTestStore, type TestStore } from "#test/image-store.ts";
import { testNeeding } from "#test/needs.ts";
import { type MadeImage, makeImage, pushImage } from "#test/oci-image.ts";
import { type SeenRequest, startProxy, type Trouble } from "#test/proxy.ts";
import { type Registry, startRegistry } from "#test/registry.ts";

const NAME = "library/app";
const here = testNeeding("docker-registry");
const isRoot = testNeeding("docker-registry", "root", "mount", "mke2fs");

let folder: string;
let registry: Registry;
let image: MadeImage;
let layerPath: string;

beforeAll(async () => {
  if (!Bun.which("docker-registry")) return;
  folder = mkdtempSync(join(tmpdir(), "banger-image-faults-"));
  registry = await startRegistry();
  const noise = crypto.getRandomValues(new Uint8Array(65_536));
  const content = Buffer.concat(Array.from({ length: 48 }, (_, n) => Buffer.from([n, ...noise])));
  image = await makeImage({ layers: [{ base: "base" }, { noise: content }] });
  await pushImage(image, { host: registry.host, name: NAME }, ["latest"]);
  layerPath = `/v2/${NAME}/blobs/${image.layers[1]?.digest}`;
});

afterAll(async () => {
  await registry?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

/** Trouble for every request for the larger layer, until `end` is called. */
function lasting(trouble: Trouble) {
  let isOver = false;
  return {
    trouble: ({ path }: SeenRequest) => (!isOver && path === layerPath ? trouble : undefined),
    end: () => {
      isOver = true;
    },
  };
}

function pull(store: TestStore, host: string, signal?: AbortSignal) {
  const reference = `${host}/${NAME}`;
  return store.images.pull({ reference, platform: "linux/amd64" }, { signal });
}

function expectNothing(store: TestStore): void {
  expect(store.images.list()).toEqual([]);
  expect(leftovers(store)).toEqual([]);
}

async function expectWhole(store: TestStore, host: string): Promise<void> {
  const pulled = await pull(store, host);
  expect(leftovers(store)).toEqual([pulled.id]);
  using reader = openExt4(pulled.rootfs);
  expect(reader.stat("/noise").size).toBe(48 * 65_537);
  expect(Buffer.from(reader.readFile("/base")).toString()).toBe("base");
  if (Bun.which("e2fsck")) {
    expect((await run(["e2fsck", "-fn", pulled.rootfs])).exitCode).toBe(0);
  }
}

const faults: [string, Trouble, ErrorCode][] = [
  ["cut for ever", { kind: "cut", after_bytes: 0 }, "unavailable"],
  ["spoiled", { kind: "flip", at_byte: MiB }, "integrity"],
  ["refused as too many requests", { kind: "answer", status: 429 }, "unavailable"],
  [
    "asked to wait for a day",
    { kind: "answer", status: 429, headers: { "retry-after": "86400" } },
    "unavailable",
  ],
  ["gone", { kind: "answer", status: 404 }, "not_found"],
  [
    "shorter than promised",
    { kind: "answer", status: 200, headers: { "content-length": "5" }, body: "short" },
    "integrity",
  ],
  ["forbidden", { kind: "answer", status: 403 }, "unauthorized"],
  ["held up for ever", { kind: "stall", after_bytes: 0 }, "timeout"],
];

for (const [what, trouble, code] of faults) {
  here(`a pull whose layer is ${what} leaves nothing, and the next one succeeds`, async () => {
    const fault = lasting(trouble);
    await using proxy = await startProxy(registry.host, fault);
    using store = openTestStore({ stallTimeout_ms: 300 });
    const error = await bangerErrorOf(pull(store, proxy.host));
    expect(error.code).toBe(code);
    expectNothing(store);
    fault.end();
    await expectWhole(store, proxy.host);
  });
}

here("a pull whose layer is cut at every tenth and then goes on is whole", async () => {
  for (let tenth = 1; tenth < 10; tenth++) {
    const length = image.layers[1]?.bytes.length ?? 0;
    const troubles: Trouble[] = [{ kind: "cut", after_bytes: Math.floor((length * tenth) / 10) }];
    await using proxy = await startProxy(registry.host, {
      trouble: ({ path }) => (path === layerPath ? troubles.shift() : undefined),
    });
    using store = openTestStore();
    await expectWhole(store, proxy.host);
  }
});

here("a manifest of another digest, and a config that was changed, leave nothing", async () => {
  const { digest, bytes } = image.manifest;
  const headers = { "docker-content-digest": digest };
  const body = `${Buffer.from(bytes)} `;
  const lies: [string, Trouble][] = [
    [`/v2/${NAME}/manifests/`, { kind: "answer", status: 200, headers, body }],
    [`/v2/${NAME}/blobs/${image.config.digest}`, { kind: "flip", at_byte: 10 }],
  ];
  for (const [path, lie] of lies) {
    let isOver = false;
    await using proxy = await startProxy(registry.host, {
      trouble: (request) => (!isOver && request.path.startsWith(path) ? lie : undefined),
    });
    using store = openTestStore();
    expect((await bangerErrorOf(pull(store, proxy.host))).code).toBe("integrity");
    expectNothing(store);
    isOver = true;
    await expectWhole(store, proxy.host);
  }
});

here(
  "a cancelled pull leaves nothing but what has arrived, and the next one succeeds",
  async () => {
    const fault = lasting({ kind: "stall", after_bytes: MiB });
    await using proxy = await startProxy(registry.host, fault);
    using store = openTestStore();
    const abort = new AbortController();
    const pulling = bangerErrorOf(pull(store, proxy.host, abort.signal));
    const partial = join(store.paths.blobs, "sha256", `${layerPath.slice(-64)}.partial`);
    while (!existsSync(partial)) await Bun.sleep(5);
    abort.abort();
    expect((await pulling).code).toBe("cancelled");
    expectNothing(store);
    fault.end();
    await expectWhole(store, proxy.host);
  },
);

/** A small file system of its own, in a file. */
async function withSmallDisk(
  size_bytes: number,
  use: (path: string, grow: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const disk = mkdtempSync(join(folder, "disk-"));
  await runOk(["mount", "-t", "tmpfs", "-o", `size=${size_bytes}`, "tmpfs", disk]);
  try {
    await use(disk, async () => {
      await runOk(["mount", "-o", `remount,size=${64 * MiB}`, disk]);
    });
  } finally {
    await runOk(["umount", disk]);
  }
}

isRoot("a full disk under the cache leaves nothing, and the next pull succeeds", async () => {
  await withSmallDisk(MiB, async (cache, grow) => {
    using store = openTestStore({}, { cache });
    const error: BangerError = await bangerErrorOf(pull(store, registry.host));
    expect(error.code).toBe("no_space");
    expectNothing(store);
    const hex = layerPath.slice(-64);
    const blobs = readdirSync(join(store.paths.blobs, "sha256"));
    expect(blobs.filter((name) => name.startsWith(hex))).toEqual([]);
    await grow();
    await expectWhole(store, registry.host);
  });
});

isRoot("a small layer of very much is refused while there is room on the disk", async () => {
  // 48 MiB of what compresses to nothing, and is no zeros.
  const large = await makeImage({ layers: [{ much: Buffer.alloc(48 * MiB, "x".repeat(4096)) }] });
  await pushImage(large, { host: registry.host, name: "library/large" }, ["latest"]);
  await withSmallDisk(32 * MiB, async (disk) => {
    const state = join(disk, "state");
    mkdirSync(state);
    using store = openTestStore({}, { state });
    let free_bytes = Number.POSITIVE_INFINITY;
    const look = () => {
      const { bavail, bsize } = statfsSync(disk);
      free_bytes = Math.min(free_bytes, bavail * bsize);
    };
    const timer = setInterval(look, 1);
    const reference = `${registry.host}/library/large`;
    const pulling = store.images.pull({ reference, platform: "linux/amd64" }, { onProgress: look });
    const error: BangerError = await bangerErrorOf(pulling);
    clearInterval(timer);
    expect(error.code).toBe("no_space");
    expect(free_bytes).toBeGreaterThan(0);
    expectNothing(store);
  });
});

isRoot("a full disk under the images leaves nothing, and the next pull succeeds", async () => {
  await withSmallDisk(2 * MiB, async (disk, grow) => {
    const state = join(disk, "state");
    mkdirSync(state);
    using store = openTestStore({}, { state });
    const error = await bangerErrorOf(pull(store, registry.host));
    expect(error.code).toBe("no_space");
    expectNothing(store);
    await grow();
    await expectWhole(store, registry.host);
  });
});

here(
  "a daemon that is killed at any instant leaves whole images and what the next start removes",
  async () => {
    const place = mkdtempSync(join(folder, "killed-"));
    const program = fileURLToPath(import.meta.resolve("#test/pull-forever.ts"));
    for (let kill = 0; kill < 12; kill++) {
      const child = Bun.spawn([process.execPath, program, place, `${registry.host}/${NAME}`], {
        stdout: "pipe",
        stderr: "inherit",
      });
      await child.stdout.getReader().read();
      await Bun.sleep(kill * 7);
      child.kill("SIGKILL");
      await child.exited;
      // Not disposed of: the next round goes on in the same folder.
      const store = openStoreAt(place);
      store.images.sweep();
      const images = store.images.list();
      for (const { rootfs } of images) {
        using reader = openExt4(rootfs);
        expect(reader.stat("/noise").size).toBe(48 * 65_537);
      }
      await store.images.gc({ all: true });
      expect(leftovers(store).sort()).toEqual(images.map(({ id }) => id).sort());
      for (const { name } of images) store.images.remove(name);
      await expectWhole(store, registry.host);
      store.db.close();
    }
  },
);

testNeeding("mmdebstrap", "root")(
  "a bootstrap that is cancelled leaves no process and no file",
  async () => {
    using store = openTestStore();
    const abort = new AbortController();
    const before = readdirSync(tmpdir()).filter((name) => name.startsWith("mmdebstrap"));
    const made = store.images.bootstrap(
      { suite: "bookworm" },
      {
        signal: abort.signal,
        onProgress: ({ message }) => void (/Debian/.test(message) || abort.abort()),
      },
    );
    expect(await bangerErrorOf(made)).toMatchObject({ code: "cancelled" });
    expectNothing(store);
    const after = readdirSync(tmpdir()).filter((name) => name.startsWith("mmdebstrap"));
    expect(after).toEqual(before);
    const { stdout } = await run(["ps", "-eo", "args"]);
    expect(stdout).not.toContain(store.folder);
  },
);
