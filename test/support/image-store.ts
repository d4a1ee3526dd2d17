/** An image store in a temporary directory, with kernels that exist by name only. */
import type { Database } from "bun:sqlite";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { BuildCache } from "#builds/cache.ts";
import type { BuildMachines } from "#builds/run/machines.ts";
import { BuildService } from "#builds/service.ts";
import { makePaths, type Paths } from "#config/paths.ts";
import { buildRootfs } from "#images/rootfs/write.ts";
import { ImageService, type ImageSettings } from "#images/service.ts";
import { ImageStore } from "#images/store.ts";
import { readKernelImage } from "#kernels/image.ts";
import { openStore } from "#store/db.ts";
import { makeElf } from "#test/elf.ts";
import { layoutFiles, type MadeImage, makeImage, writeFiles } from "#test/oci-image.ts";
import { dir, file, makeLayer, makeTar } from "#test/tar-build.ts";

export interface TestStore extends Disposable {
  db: Database;
  paths: Paths;
  /** Everything is below it. */
  folder: string;
  images: ImageService;
  /** Builds that run no command. */
  builds: BuildService;
  buildsWith(machines: BuildMachines): BuildService;
  /** Another service on the same folders and rows, as after a restart. */
  reopen(settings?: TestSettings): ImageService;
  /** Names of kernels that `ensure` was asked for. */
  ensured: string[];
}

/** `firstBoot`: digest of what installs on the first boot of a machine. */
type TestSettings = Partial<ImageSettings> & { firstBoot?: string };

const noMachines: BuildMachines = {
  async start() {
    throw new BangerError("unsupported", "There are no machines here");
  },
};

/** `roots`: other places for some of the folders. */
export function openTestStore(
  settings: TestSettings = {},
  roots: { state?: string; cache?: string } = {},
): TestStore {
  return openStoreAt(mkdtempSync(join(tmpdir(), "banger-images-")), settings, roots);
}

/** The same in a folder that may have been one before. Disposing of it removes the folder. */
export function openStoreAt(
  folder: string,
  settings: TestSettings = {},
  roots: { state?: string; cache?: string } = {},
): TestStore {
  const paths = makePaths({
    config: join(folder, "config"),
    state: roots.state ?? join(folder, "state"),
    cache: roots.cache ?? join(folder, "cache"),
    runtime: join(folder, "run"),
  });
  const db = openStore(join(folder, "banger.db"));
  const ensured: string[] = [];
  const cache = new BuildCache(paths.builds);
  const openStoreOf = (firstBoot: string) => new ImageStore(db, paths, { firstBoot, steps: cache });
  const reopen = (
    { firstBoot = settings.firstBoot ?? "", ...more }: TestSettings = {},
    rows = openStoreOf(firstBoot),
  ) =>
    new ImageService(rows, {
      insecureRegistries: [],
      mirrors: {},
      dockerConfigPath: join(folder, "docker.json"),
      retryDelay_ms: 1,
      kernels: {
        async require(name) {
          if (name !== "debian-6.12") throw new BangerError("not_found", `No kernel "${name}"`);
        },
        async ensure(name) {
          ensured.push(name);
        },
        inspect: (path, signal) => readKernelImage(path, signal),
      },
      build: (request, work) => builds.buildRecord(request, work),
      ...settings,
      ...more,
    });
  const rows = openStoreOf(settings.firstBoot ?? "");
  const images = reopen({}, rows);
  const builds: BuildService = buildsWith(noMachines);
  function buildsWith(machines: BuildMachines): BuildService {
    return new BuildService({ store: rows, cache, images, machines, privateHosts: [] });
  }
  return {
    db,
    paths,
    folder,
    images,
    builds,
    buildsWith,
    reopen,
    ensured,
    [Symbol.dispose]() {
      db.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** An OCI layout of one layer, tagged "latest", below the store's folder. */
export async function makeLayout(
  store: TestStore,
  name: string,
  files: Record<string, string>,
): Promise<MadeImage> {
  const image = await makeImage({ layers: [files], architecture: "amd64" });
  writeFiles(join(store.folder, name), layoutFiles([image], { latest: image.manifest }));
  return image;
}

/** Pulls a layout of its own, "amd64" whatever this computer is. */
export async function pullLayout(
  store: TestStore,
  name: string,
  files: Record<string, string> = { hello: name },
) {
  await makeLayout(store, name, files);
  const reference = refOf(store, name);
  return await store.images.pull({ reference, name, platform: "linux/amd64" });
}

/** The reference of such a layout. */
export function refOf(store: TestStore, name: string): string {
  return `oci:${join(store.folder, name)}:latest`;
}

/** An ext4 file whose /bin/sh is a link to `program`. */
export async function makeRootfs(
  store: TestStore,
  name: string,
  program?: Uint8Array,
): Promise<string> {
  const entries = [dir("bin"), file("bin/real-sh", program ?? "#!/bin/true")];
  const tar = makeTar([...entries, { name: "bin/sh", type: "2", linkName: "real-sh" }]);
  const place = join(store.folder, name);
  await buildRootfs([makeLayer(tar)], { path: place, seed: sha256(name) });
  return place;
}

/** As much of a vmlinux as is looked at. */
export function makeKernel(store: TestStore, machine = 62): string {
  const path = join(store.folder, `vmlinux-${machine}`);
  const banner = Buffer.from("Linux version 6.12.1-test (x@y) #1\0");
  writeFileSync(path, makeElf({ machine, sections: { ".rodata": banner } }));
  return path;
}

/** Records a machine that uses an image. */
export function insertMachine(db: Database, name: string, imageId: string): void {
  db.query(
    `INSERT INTO vms (id, name, state, image_id, kernel, spec, created_at)
     VALUES ($name, $name, 'stopped', $imageId, 'debian-6.12', '{}', '2026-01-01T00:00:00.000Z')`,
  ).run({ name, imageId });
}

/** Names of what lies in the images' folder and, half-made, in the cache. */
export function leftovers({ paths }: { paths: Paths }): string[] {
  const list = (folder: string) => (existsSync(folder) ? readdirSync(folder) : []);
  return [
    ...list(paths.images),
    ...[paths.blobs, paths.downloads, join(paths.blobs, "sha256")].flatMap((folder) =>
      list(folder).filter((name) => name.startsWith(".staging-")),
    ),
  ];
}
