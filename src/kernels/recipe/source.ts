/** Finds, downloads, verifies and unpacks the source of a kernel. */
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { assert } from "#base/assert.ts";
import { type Digest, isDigest } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import type { OnProgress } from "#base/progress.ts";
import { runOk } from "#base/run.ts";
import { fetchHttpFile } from "#blobs/http-file.ts";
import { parseHttpUrl } from "#http/url.ts";
import { downloadPackage, resolveKernelPackage } from "#kernels/apt.ts";
import { hostArch } from "#kernels/catalog.ts";
import type { RecipeSource } from "./recipe.ts";

const UNPACK_TIMEOUT_MS = 30 * 60_000;
/** A third of the source, which no kernel needs: GPU register headers, documentation and tests. */
const LEFT_OUT = [
  "*/drivers/gpu/drm/amd/include/asic_reg",
  "linux*/Documentation/*/*",
  "linux*/tools/testing/*",
];

export interface SourceWork {
  /** Directory of downloads. */
  downloads: string;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

export interface KernelSource {
  /** "linux-source-6.12 6.12.117-1", "linux-6.12.1.tar.xz". */
  label: string;
  digest: Digest;
  /** Downloads and unpacks it to the new directory `tree`. `scratch` is for temporary files. */
  unpack(tree: string, scratch: string): Promise<void>;
}

/** Looks up a package in apt's index, without downloading it. */
export async function findSource(source: RecipeSource, work: SourceWork): Promise<KernelSource> {
  return "package" in source
    ? await debianSource(source.package, work)
    : tarballSource(source, work);
}

/** The version in the top-level Makefile: "6.12.117". */
export function sourceVersion(tree: string): string {
  const path = join(tree, "Makefile");
  const text = existsSync(path) ? readFileSync(path, "utf8").slice(0, 1000) : "";
  const field = (name: string): string =>
    new RegExp(`^${name} = (\\d+)$`, "m").exec(text)?.[1] ?? "";
  const version = [field("VERSION"), field("PATCHLEVEL"), field("SUBLEVEL")].join(".");
  if (/^\d+\.\d+\.\d+$/.test(version)) return version;
  throw new BangerError(
    "integrity",
    "Cannot build a kernel: the archive is not a Linux source tree",
  );
}

async function debianSource(name: string, work: SourceWork): Promise<KernelSource> {
  const wanted = await resolveKernelPackage(name, hostArch(), work);
  return {
    label: `${name} ${wanted.version}`,
    digest: wanted.sha256,
    async unpack(tree, scratch) {
      const deb = await downloadPackage(wanted, scratch, { ...work, cache: work.downloads });
      const root = join(scratch, "package");
      work.onProgress?.({ step: "unpack", message: `Unpacking ${wanted.file}` });
      const options = { signal: work.signal, timeout_ms: UNPACK_TIMEOUT_MS };
      await runOk(["dpkg-deb", "-x", deb, root], options);
      const folder = join(root, "usr/src");
      const found = existsSync(folder)
        ? readdirSync(folder).filter((file) => /^linux-source-[\d.]+\.tar\.xz$/.test(file))
        : [];
      if (found.length !== 1) {
        throw new BangerError("integrity", `Cannot use package "${name}": no kernel source found`);
      }
      await untar(join(folder, found[0] ?? ""), tree, work);
      await rm(root, { recursive: true });
    },
  };
}

function tarballSource(
  source: { url: string; sha256: string; size_bytes: number },
  work: SourceWork,
): KernelSource {
  const { url, sha256, size_bytes } = source;
  assert(isDigest(sha256), "the schema has checked the digest");
  const file = parseHttpUrl(url).pathname.split("/").at(-1) ?? "";
  return {
    label: file,
    digest: sha256,
    async unpack(tree, scratch) {
      const path = join(scratch, "source.tar");
      await fetchHttpFile(
        { url, sha256, size_bytes },
        {
          path,
          cache: join(work.downloads, "sources"),
          signal: work.signal,
          onAdvance: (done) =>
            work.onProgress?.({
              step: "download",
              message: `Downloading ${file}`,
              done,
              total: size_bytes,
              unit: "bytes",
            }),
        },
      );
      await untar(path, tree, work);
      await rm(path);
    },
  };
}

async function untar(archive: string, tree: string, work: SourceWork): Promise<void> {
  work.onProgress?.({ step: "unpack", message: "Unpacking the kernel source" });
  mkdirSync(tree, { recursive: true });
  const exclude = LEFT_OUT.map((pattern) => `--exclude=${pattern}`);
  const flags = ["--strip-components=1", "--no-same-owner", "--no-same-permissions"];
  await runOk(["tar", "-C", tree, ...flags, ...exclude, "-xf", archive], {
    // xz uses one thread by default.
    env: { XZ_OPT: "-T0" },
    signal: work.signal,
    timeout_ms: UNPACK_TIMEOUT_MS,
  });
}
