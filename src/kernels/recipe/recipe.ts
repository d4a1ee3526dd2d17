/**
 * Kernel recipes: a recipe has a source, a list of features and options of its own; a feature is a set of options.
 * Both are TOML files; docs/kernel-catalog.md describes them.
 */
import { readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { parse as parseToml } from "smol-toml";
import { z } from "zod";
import { isDigest } from "#base/digest.ts";
import { BangerError, errnoOf, messageOf } from "#base/error.ts";
import { didYouMean } from "#base/similar.ts";
import { MiB } from "#base/size.ts";
import { type Arch, archSchema, nameSchema } from "#kernels/manifest.ts";
import { embeddedTexts } from "./embedded.ts";

const MAX_RECIPE_BYTES = MiB;
const MAX_OPTIONS = 5000;

/** Without "CONFIG_". */
const optionSchema = z.string().regex(/^[A-Z0-9_][A-Za-z0-9_]{0,99}$/);
const versionSchema = z.string().regex(/^\d{1,3}\.\d{1,3}$/);

const choices = {
  /** Must be built in. */
  on: z.array(optionSchema).max(MAX_OPTIONS).default([]),
  /** Must be neither built in nor a module. */
  off: z.array(optionSchema).max(MAX_OPTIONS).default([]),
  /** Numbers, strings, and hexadecimal numbers as strings. */
  set: z
    .record(optionSchema, z.union([z.int(), z.string().regex(/^[\w.,:/@ +-]{0,200}$/)]))
    .default({}),
};

/** Choices for one architecture, or for a range of versions. */
const onlySchema = z.strictObject({
  arch: archSchema.optional(),
  since: versionSchema.optional(),
  before: versionSchema.optional(),
  ...choices,
});

const featureSchema = z.strictObject({
  about: z.string().max(300),
  ...choices,
  only: z.array(onlySchema).max(100).default([]),
});
type Feature = z.infer<typeof featureSchema>;

const sourceSchema = z.union([
  /** A Debian package with linux-source-X.Y.tar.xz. */
  z.strictObject({ package: z.string().regex(/^[a-z0-9][a-z0-9.+-]+$/) }),
  /** A linux-X.Y.Z.tar.xz, as on kernel.org. */
  z.strictObject({ url: z.url(), sha256: z.string().refine(isDigest), size_bytes: z.int().min(1) }),
]);
export type RecipeSource = z.infer<typeof sourceSchema>;

const recipeSchema = z.strictObject({
  name: nameSchema,
  distro: z.string().min(1).max(63),
  description: z.string().max(300),
  arches: z.array(archSchema).min(1),
  /** Major and minor version of the source. */
  version: versionSchema,
  /** Suffix of the version in `uname -r`. */
  localversion: z
    .string()
    .regex(/^(-[a-z0-9.-]{1,30})?$/)
    .default(""),
  features: z.array(nameSchema).max(100),
  source: sourceSchema,
  ...choices,
  only: z.array(onlySchema).max(100).default([]),
});

export interface Recipe extends z.infer<typeof recipeSchema> {
  featureFiles: Map<string, Feature>;
}

/** Required options. */
export interface Choices {
  on: string[];
  off: string[];
  set: Map<string, string | number>;
}

/** Names of the embedded recipes. */
export function recipeNames(): string[] {
  return Object.keys(embeddedTexts.recipes);
}

/**
 * Loads a recipe by name, or by the path of a ".toml" file; features that are not embedded are read from features/
 * beside that file.
 */
export function loadRecipe(name: string): Recipe {
  if (name.endsWith(".toml")) return fromFile(name);
  const text = embeddedTexts.recipes[name];
  if (text !== undefined) return toRecipe(text, name, (feature) => embeddedTexts.features[feature]);
  throw new BangerError("not_found", `no such recipe "${name.slice(0, 100)}"`, {
    hint: didYouMean(name, recipeNames(), `Available recipes: ${recipeNames().join(", ")}`),
  });
}

/** All choices of a recipe for one architecture; enabled options override disabled ones. */
export function choicesOf(recipe: Recipe, arch: Arch): Choices {
  if (!recipe.arches.includes(arch)) {
    throw new BangerError(
      "unsupported",
      `Cannot build "${recipe.name}" for ${arch}: the recipe supports ${recipe.arches.join(", ")}`,
    );
  }
  const parts = [...recipe.features.map((name) => recipe.featureFiles.get(name)), recipe]
    .filter((part) => part !== undefined)
    .flatMap((part) => [part, ...part.only.filter((only) => applies(only, recipe.version, arch))]);
  const on = new Set(parts.flatMap((part) => part.on));
  for (const name of recipe.off) on.delete(name);
  const off = new Set(parts.flatMap((part) => part.off).filter((name) => !on.has(name)));
  const set = new Map(parts.flatMap((part) => Object.entries(part.set)));
  if (recipe.localversion !== "") set.set("LOCALVERSION", recipe.localversion);
  return { on: [...on].sort(), off: [...off].sort(), set };
}

/** The choices as a fragment for `KCONFIG_ALLCONFIG`. */
export function fragmentOf({ on, off, set }: Choices): string {
  const textOf = (value: string | number): string =>
    typeof value === "number" || /^0x[0-9a-f]+$/.test(value) ? String(value) : `"${value}"`;
  const lines = [
    ...on.map((name) => `CONFIG_${name}=y`),
    ...off.map((name) => `# CONFIG_${name} is not set`),
    ...Array.from(set, ([name, value]) => `CONFIG_${name}=${textOf(value)}`),
  ];
  return `${lines.join("\n")}\n`;
}

/** Less than zero when `a` is the older of two versions "6.12". */
export function compareVersions(a: string, b: string): number {
  const [majorA = 0, minorA = 0] = a.split(".").map(Number);
  const [majorB = 0, minorB = 0] = b.split(".").map(Number);
  return majorA - majorB || minorA - minorB;
}

function applies(only: z.infer<typeof onlySchema>, version: string, arch: Arch): boolean {
  if (only.arch !== undefined && only.arch !== arch) return false;
  if (only.since !== undefined && compareVersions(version, only.since) < 0) return false;
  return only.before === undefined || compareVersions(version, only.before) < 0;
}

function fromFile(path: string): Recipe {
  const beside = (feature: string): string | undefined => {
    const own = embeddedTexts.features[feature];
    return own ?? tryRead(join(dirname(path), "features", `${feature}.toml`));
  };
  const text = tryRead(path);
  if (text !== undefined) return toRecipe(text, basename(path), beside);
  throw new BangerError("not_found", `Cannot read recipe "${path}": no such file`);
}

function tryRead(path: string): string | undefined {
  try {
    if (statSync(path).size <= MAX_RECIPE_BYTES) return readFileSync(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  throw new BangerError("limit_exceeded", `Cannot read "${path}": too large`);
}

function toRecipe(
  text: string,
  where: string,
  featureText: (name: string) => string | undefined,
): Recipe {
  const recipe = readToml(recipeSchema, text, `recipe "${where}"`);
  const featureFiles = new Map<string, Feature>();
  for (const name of recipe.features) {
    const found = featureText(name);
    if (found === undefined) {
      const known = Object.keys(embeddedTexts.features);
      throw new BangerError(
        "not_found",
        `Cannot use recipe "${where}": unknown kernel feature "${name}"`,
        {
          hint: didYouMean(name, known, `Available features: ${known.join(", ")}`),
        },
      );
    }
    featureFiles.set(name, readToml(featureSchema, found, `feature "${name}"`));
  }
  return { ...recipe, featureFiles };
}

function readToml<T>(schema: z.ZodType<T>, text: string, what: string): T {
  let document: unknown;
  try {
    document = parseToml(text);
  } catch (cause) {
    const why = messageOf(cause).split("\n")[0];
    throw new BangerError("invalid_argument", `Cannot read ${what}: ${why}`, { cause });
  }
  const result = schema.safeParse(document);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const place = issue?.path.join(".") || "it";
  throw new BangerError("invalid_argument", `Cannot read ${what}: ${place}: ${issue?.message}`);
}
