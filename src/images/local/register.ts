/** Registers the user's own files as an image. They stay where they are until the image is promoted. */
import { cpSync, linkSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { cp } from "node:fs/promises";
import { basename, join } from "node:path";
import type { ImageRegister } from "#api/image.ts";
import { throwIfAborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import { syncFolder, syncTree } from "#base/files/atomic.ts";
import { copyHashed, hashFile, tryLink } from "#base/files/copy-file.ts";
import type { WorkOptions } from "#base/progress.ts";
import { shareLayer } from "#images/provisioned/layers.ts";
import {
  filesOf,
  getImage,
  type ImageRecord,
  patchImage,
  type RecordFiles,
} from "#images/records.ts";
import { assertFree, type ImageStore } from "#images/store.ts";
import { hostPlatform } from "#oci/platform.ts";
import { inspectInitrd, inspectModules, inspectRootfs } from "./inspect.ts";
import { makeWorkSeed } from "./work-seed.ts";

export interface RegisterOptions extends WorkOptions {
  /** Throws unless a kernel of that name exists. */
  requireKernel: (name: string) => Promise<unknown>;
  /** Throws unless the file is a kernel. Returns its architecture: "amd64". */
  inspectKernel: (path: string, signal?: AbortSignal) => Promise<{ arch: string }>;
}

export interface PromoteOptions extends WorkOptions {
  /** Creates a hard link to the rootfs, where possible, in place of a copy. */
  link?: boolean | undefined;
}

/** Copies nothing but the work seed. Errors: `already_exists`, `not_found`, `integrity`, `invalid_argument`. */
export async function registerImage(
  store: ImageStore,
  request: ImageRegister,
  options: RegisterOptions,
): Promise<ImageRecord> {
  const { name, rootfs, kernel, kernelFile, initrd, modules, workSeed } = request;
  if (kernel && kernelFile) {
    throw new BangerError(
      "invalid_argument",
      `Cannot register image "${name}": --kernel and --kernel-ref are mutually exclusive`,
      { hint: "Use --kernel-ref for an installed kernel, or --kernel for a file" },
    );
  }
  if ((initrd || modules) && !kernelFile) {
    throw new BangerError(
      "invalid_argument",
      `Cannot register image "${name}": --initrd and --modules require --kernel`,
      { hint: "Pass the kernel file with --kernel" },
    );
  }
  return await store.inTurn(
    name,
    async () => {
      assertFree(store, name);
      assertOutsideStore(store, rootfs);
      const found = inspectRootfs(rootfs);
      if (kernel) await options.requireKernel(kernel);
      const arch = kernelFile
        ? (await options.inspectKernel(kernelFile, options.signal)).arch
        : undefined;
      if (initrd) inspectInitrd(initrd);
      if (modules) inspectModules(modules);
      assertSameArch(name, arch, found.arch);
      return await store.create(name, async (folder) => {
        const seed = join(folder, basename(store.paths.image("").workSeed));
        if (workSeed) await makeWorkSeed(workSeed, { ...options, path: seed });
        const digest = await hashFile(rootfs, reportProgress(options, "hash", found.size_bytes));
        return {
          managed: false,
          reference: `file:${rootfs}`,
          digest,
          platform: `linux/${arch ?? found.arch ?? hostPlatform().architecture}`,
          kernel,
          files: {
            rootfs,
            kernel: kernelFile,
            initrd,
            modules,
            workSeed: workSeed && basename(seed),
          },
          size_bytes: found.size_bytes,
          allocated_bytes: found.allocated_bytes,
          layers: [],
          config: {},
        };
      });
    },
    options.signal,
  );
}

/**
 * Copies the files of an unmanaged image into the store, sharing blocks where the file system can. `conflict` if the
 * rootfs has changed since it was registered.
 */
export async function promoteImage(
  store: ImageStore,
  ref: string,
  options: PromoteOptions,
): Promise<ImageRecord> {
  const { name } = getImage(store.db, ref);
  return await store.inTurn(
    name,
    async () => {
      const image = getImage(store.db, ref);
      if (image.managed) {
        throw new BangerError(
          "invalid_state",
          `Cannot promote image "${image.name}": its files are already in the store`,
        );
      }
      return await copyFiles(store, image, options);
    },
    options.signal,
  );
}

/** Adds a second image that shares the files of the first by hard links. */
export async function tagImage(store: ImageStore, ref: string, to: string): Promise<ImageRecord> {
  return await store.inTurn(
    to,
    async () => {
      const image = getImage(store.db, ref);
      assertFree(store, to);
      const { folder: from } = store.paths.image(image.id);
      const { id: _id, name: _name, createdAt: _createdAt, ...rest } = image;
      const tagged = await store.create(to, async (folder) => {
        for (const path of Object.values(image.files)) {
          // Both records have the absolute paths of the user's files.
          if (path && !path.startsWith("/")) linkTree(join(from, path), join(folder, path));
        }
        return rest;
      });
      shareLayer(store, image.id, tagged.id);
      return tagged;
    },
    undefined,
  );
}

async function copyFiles(
  store: ImageStore,
  image: ImageRecord,
  options: PromoteOptions,
): Promise<ImageRecord> {
  const { folder } = store.paths.image(image.id);
  const from = filesOf(image, store.paths);
  const kinds = (["kernel", "initrd", "modules"] as const).filter((kind) => image.files[kind]);
  return await store.withScratch(folder, "image-files", async (staging) => {
    mkdirSync(staging, { mode: 0o700 });
    await copyRootfs(image, { ...options, from: from.rootfs, to: join(staging, "rootfs") });
    for (const kind of kinds) {
      throwIfAborted(options.signal);
      await cp(from[kind] ?? "", join(staging, kind), { recursive: true });
    }
    await syncTree(staging);
    // Synchronous from here: gc and rm see either the old record or the new one.
    const current = getImage(store.db, image.id);
    const places = store.paths.image(image.id);
    const files: RecordFiles = { ...current.files };
    for (const kind of ["rootfs", ...kinds] as const) {
      renameSync(join(staging, kind), places[kind]);
      files[kind] = basename(places[kind]);
    }
    syncFolder(folder);
    const allocated_bytes = statSync(places.rootfs).blocks * 512;
    patchImage(store.db, image.id, { managed: true, files, allocated_bytes });
    return getImage(store.db, image.id);
  });
}

async function copyRootfs(
  image: ImageRecord,
  options: PromoteOptions & { from: string; to: string },
): Promise<void> {
  const { from, to } = options;
  const onRead = reportProgress(options, "copy", image.size_bytes);
  const digest =
    options.link && tryLink(from, to)
      ? await hashFile(to, onRead)
      : await copyHashed(from, to, onRead);
  if (digest === image.digest) return;
  rmSync(to, { force: true });
  throw new BangerError(
    "conflict",
    `Cannot promote image "${image.name}": "${from}" has changed since it was registered`,
    { hint: `Register it again: banger image rm ${image.name}` },
  );
}

function linkTree(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    // Directories cannot be linked, nor can files on some file systems.
    cpSync(from, to, { recursive: true });
  }
}

function assertOutsideStore(store: ImageStore, rootfs: string): void {
  if (!rootfs.startsWith(`${store.paths.images}/`)) return;
  throw new BangerError(
    "invalid_argument",
    `Cannot register "${rootfs}": it already belongs to an image`,
    { hint: "Create another name for that image with: banger image tag NAME NEW-NAME" },
  );
}

function assertSameArch(
  name: string,
  kernel: string | undefined,
  rootfs: string | undefined,
): void {
  if (!kernel || !rootfs || kernel === rootfs) return;
  throw new BangerError(
    "invalid_argument",
    `Cannot register image "${name}": the kernel is for ${kernel}, and the rootfs is for ${rootfs}`,
  );
}

function reportProgress(options: WorkOptions, step: "hash" | "copy", total: number) {
  const message = step === "hash" ? "Reading the rootfs" : "Copying the rootfs";
  return {
    signal: options.signal,
    onAdvance: (done: number): void =>
      options.onProgress?.({ step, message, done, total, unit: "bytes" }),
  };
}
