/**
 * Builds a kernel from its recipe. Results are cached under a hash of all inputs:
 *
 *     <builds>/<key>/            vmlinux or Image, and config
 *     <builds>/NAME-ARCH.log     log of the last build
 *     <builds>/.staging-…/       source and objects of a running build
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { type Digest, hexOf, sha256 } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { makeFolderAtomic } from "#base/files/atomic.ts";
import type { OnProgress } from "#base/progress.ts";
import { runOk } from "#base/run.ts";
import { type Bundle, placeBundle, tryRead } from "#kernels/bundle.ts";
import { hostArch } from "#kernels/catalog.ts";
import { featuresOf, parseConfig, writeConfig } from "#kernels/features.ts";
import { readKernelImage, writeKernelImage } from "#kernels/image.ts";
import type { Arch, FilledManifest } from "#kernels/manifest.ts";
import { configure } from "./configure.ts";
import { type MakeOptions, make } from "./make.ts";
import { countObjects } from "./objects.ts";
import { type Choices, choicesOf, fragmentOf, loadRecipe, type Recipe } from "./recipe.ts";
import { makeScratch } from "./scratch.ts";
import { findSource, type KernelSource, sourceVersion } from "./source.ts";
import { findToolchain, type Toolchain } from "./toolchain.ts";

/** Increased when the same recipe gives a different result. */
const BUILDER_VERSION = 1;
const RESULTS_MAX = 8;
/** CPU time per object, for the displayed estimate. */
const OBJECT_CPU_MS = 350;
/** `  CC      kernel/fork.o`; build tools are in tools/ or begin with HOST. */
const OBJECT_LINE = /^ {2}(CC|AS)\s+(?!tools\/|\/)\S+\.o$/;

export interface BuildOptions {
  /** Folder of the bundles. */
  dir: string;
  /** Directory of build results. */
  builds: string;
  /** Directory of downloads. */
  downloads: string;
  /** Default: the host's. */
  arch?: Arch | undefined;
  /** Name of the kernel. Default: the recipe's, with the architecture if it is not the host's. */
  name?: string | undefined;
  /** Compile even if the result is cached. */
  force?: boolean | undefined;
  /** Number of parallel jobs. Default: the number of CPUs plus one. */
  jobs?: number | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

export interface Built {
  bundle: Bundle;
  /** False if the kernel existed already, with the same recipe, source and toolchain. */
  changed: boolean;
}

interface Plan {
  recipe: Recipe;
  choices: Choices;
  toolchain: Toolchain;
  source: KernelSource;
  key: Digest;
}

/** `name`: an embedded recipe, or the path of a ".toml" file. */
export async function buildKernel(recipeName: string, options: BuildOptions): Promise<Built> {
  options.onProgress?.({ step: "recipe", message: `Reading recipe ${recipeName}` });
  const plan = await makePlan(recipeName, options);
  const name = options.name ?? kernelNameOf(plan.recipe, plan.toolchain.arch);
  const here = tryRead(options.dir, name);
  const isCurrent =
    here?.manifest.source.kind === "recipe" && here.manifest.source.key === plan.key;
  if (here && isCurrent && !options.force) return { bundle: here, changed: false };
  const result = join(options.builds, hexOf(plan.key));
  if (options.force) await rm(result, { recursive: true, force: true });
  if (!existsSync(result)) await compile(plan, result, options);
  utimesSync(result, new Date(), new Date());
  const bundle = await placeBundle(options.dir, name, (staging) =>
    fillFromResult(plan, { staging, result, name }),
  );
  prune(options.builds);
  return { bundle, changed: true };
}

/** The key of a build now; a bundle with a different key is outdated. */
export async function recipeKey(recipeName: string, options: BuildOptions): Promise<Digest> {
  return (await makePlan(recipeName, options)).key;
}

/** "generic-6.12", or "generic-6.12-arm64" on a host of another architecture. */
export function kernelNameOf(recipe: { name: string }, arch: Arch): string {
  return arch === hostArch() ? recipe.name : `${recipe.name}-${arch}`;
}

async function makePlan(recipeName: string, options: BuildOptions): Promise<Plan> {
  const recipe = loadRecipe(recipeName);
  const arch = options.arch ?? hostArch();
  const choices = choicesOf(recipe, arch);
  const toolchain = await findToolchain(arch, options.signal);
  const source = await findSource(recipe.source, options);
  const parts = [BUILDER_VERSION, arch, fragmentOf(choices), source.digest, toolchain.versions];
  return { recipe, choices, toolchain, source, key: sha256(JSON.stringify(parts)) };
}

async function compile(plan: Plan, result: string, options: BuildOptions): Promise<void> {
  const { recipe, toolchain, source } = plan;
  const { signal, onProgress, builds } = options;
  mkdirSync(builds, { recursive: true, mode: 0o700 });
  await using folder = makeScratch(result);
  const scratch = folder.path;
  const work: MakeOptions = {
    tree: join(scratch, "source"),
    objects: join(scratch, "objects"),
    toolchain,
    log: join(builds, `${recipe.name}-${toolchain.arch}.log`),
    // One more than the CPUs, because some jobs wait for the disk.
    jobs: options.jobs ?? availableParallelism() + 1,
    signal,
  };
  mkdirSync(work.objects, { recursive: true, mode: 0o700 });
  writeFileSync(work.log, `${recipe.name} for ${toolchain.arch} from ${source.label}\n`);
  await source.unpack(work.tree, scratch);
  checkVersion(recipe, sourceVersion(work.tree));
  onProgress?.({ step: "configure", message: `Configuring ${recipe.name}` });
  const config = await configure(plan.choices, work);
  await compileObjects(config, work, onProgress);
  await makeFolderAtomic(result, async (staging) => {
    await keepImage(work, staging, signal);
    writeFileSync(join(staging, "config"), config);
  });
}

async function compileObjects(
  config: string,
  work: MakeOptions,
  onProgress: OnProgress | undefined,
): Promise<void> {
  const { tree, toolchain } = work;
  const values = parseConfig(config);
  const lookUp = (option: string): string | undefined => values.get(option);
  const estimate = countObjects({ tree, srcArch: toolchain.srcArch, lookUp });
  const minutes = Math.ceil((estimate * OBJECT_CPU_MS) / availableParallelism() / 60_000);
  let done = 0;
  const report = (): void =>
    onProgress?.({
      step: "compile",
      message: `Compiling the kernel (about ${minutes} min)`,
      done,
      // There may be more objects than estimated.
      total: Math.max(estimate, done),
      unit: "items",
    });
  report();
  await make(toolchain.target, {
    ...work,
    onLine: (line) => {
      if (!OBJECT_LINE.test(line)) return;
      done++;
      report();
    },
  });
  onProgress?.({ step: "link", message: `Compiled ${done} objects` });
}

/** Strips the symbols, two thirds of the file; the kernel has its own symbol table. */
async function keepImage(
  { objects, toolchain }: MakeOptions,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const from = join(objects, toolchain.image);
  if (toolchain.image !== "vmlinux") return cpSync(from, join(folder, "Image"));
  const to = join(folder, "vmlinux");
  await runOk([`${toolchain.prefix}objcopy`, "--strip-all", from, to], { signal });
}

async function fillFromResult(
  { recipe, source, key }: Plan,
  { staging, result, name }: { staging: string; result: string; name: string },
): Promise<FilledManifest> {
  const file = ["vmlinux", "Image"].find((each) => existsSync(join(result, each))) ?? "vmlinux";
  const image = await readKernelImage(join(result, file));
  const digest = writeKernelImage(image, staging);
  const config = readFileSync(join(result, "config"), "utf8");
  writeConfig(config, staging);
  return {
    schema: 1,
    name,
    distro: recipe.distro,
    arch: image.arch,
    version: image.version,
    format: image.format,
    sha256: digest,
    source: { kind: "recipe", recipe: recipe.name, key, from: source.label },
    importedAt: new Date().toISOString(),
    features: featuresOf(config),
    modules: [],
    initrd: false,
  };
}

function checkVersion({ name, version }: Recipe, found: string): void {
  if (found.startsWith(`${version}.`)) return;
  throw new BangerError(
    "integrity",
    `Cannot build "${name}": the source is Linux ${found}, the recipe expects ${version}`,
  );
}

function prune(builds: string): void {
  const results = readdirSync(builds)
    .filter((name) => /^[0-9a-f]{64}$/.test(name))
    .map((name) => ({ path: join(builds, name), age: statSync(join(builds, name)).mtimeMs }))
    .sort((a, b) => b.age - a.age);
  for (const { path } of results.slice(RESULTS_MAX)) rmSync(path, { recursive: true, force: true });
}
