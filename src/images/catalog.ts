/** The image catalog: the names of images that banger knows, the source of each, and the kernel to use with it. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { z } from "zod";
import { imageName } from "#api/image.ts";
import { isDigest } from "#base/digest.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { GiB, MiB } from "#base/size.ts";
import embedded from "./catalog.json" with { type: "json" };

export const architectures = ["amd64", "arm64"] as const;

const MAX_ENTRIES = 10_000;
const MAX_FILE_BYTES = 4 * MiB;
const MAX_BUNDLE_BYTES = 64 * GiB;

const sourceSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("registry"), reference: z.string().min(1).max(1024) }),
  /** A URL of an OCI archive: a tar with an image layout at its root. */
  z.object({
    kind: z.literal("bundle"),
    url: z.url({ protocol: /^https?$/ }),
    sha256: z.string().refine(isDigest),
    size_bytes: z.int().min(1).max(MAX_BUNDLE_BYTES),
  }),
  /** Built on this host from the recipe of that name. */
  z.object({ kind: z.literal("recipe"), recipe: imageName }),
]);

const entrySchema = z.object({
  name: imageName,
  /** Aliases. */
  aliases: z.array(imageName).max(16).default([]),
  arch: z.array(z.enum(architectures)).min(1),
  description: z.string().max(300),
  /** Name of a kernel in the kernel catalog. */
  kernel: z.string().max(255).optional(),
  source: sourceSchema,
});
export type CatalogImage = z.infer<typeof entrySchema>;

export const imageCatalogSchema = z.object({
  schema: z.literal(1),
  images: z
    .array(entrySchema)
    .max(MAX_ENTRIES)
    .refine(hasUniqueNames, { error: "duplicate name for one architecture" }),
});

export function embeddedCatalog(): CatalogImage[] {
  return imageCatalogSchema.parse(embedded).images;
}

/**
 * The entries for an architecture ("amd64"): those of the user's file at `path`, if it exists, before the embedded
 * ones. Throws `invalid_argument` for an invalid file.
 */
export function loadCatalog(path: string, arch: string): CatalogImage[] {
  const own = readUserCatalog(path).filter((entry) => isFor(entry, arch));
  const taken = new Set(own.flatMap(namesOf));
  const others = embeddedCatalog().filter((entry) => isFor(entry, arch) && !taken.has(entry.name));
  return [...own, ...others];
}

/** By name, then by alias. A reference with more than a name is never in the catalog. */
export function findInCatalog(
  catalog: readonly CatalogImage[],
  name: string,
): CatalogImage | undefined {
  return (
    catalog.find((entry) => entry.name === name) ??
    catalog.find(({ aliases }) => aliases.includes(name))
  );
}

/** The source of an entry, for display. */
export function describeSource({ source }: CatalogImage): string {
  if (source.kind === "registry") return source.reference;
  return source.kind === "bundle" ? source.url : `recipe ${source.recipe}`;
}

function readUserCatalog(path: string): CatalogImage[] {
  if (!existsSync(path)) return [];
  const { size } = statSync(path);
  if (size > MAX_FILE_BYTES) {
    throw new BangerError("limit_exceeded", `Cannot read ${path}: too large: ${size} bytes`);
  }
  try {
    return imageCatalogSchema.parse(JSON.parse(readFileSync(path, "utf8"))).images;
  } catch (error) {
    const issue = error instanceof z.ZodError ? error.issues[0] : undefined;
    const place = issue?.path.length ? ` at "${issue.path.join(".")}"` : "";
    throw new BangerError(
      "invalid_argument",
      `invalid catalog ${path}: ${issue?.message ?? messageOf(error)}${place}`,
    );
  }
}

function isFor(entry: CatalogImage, arch: string): boolean {
  return (entry.arch as readonly string[]).includes(arch);
}

function namesOf({ name, aliases }: CatalogImage): string[] {
  return [name, ...aliases];
}

function hasUniqueNames(images: readonly CatalogImage[]): boolean {
  const keys = images.flatMap((entry) =>
    entry.arch.flatMap((arch) => namesOf(entry).map((name) => `${name} ${arch}`)),
  );
  return new Set(keys).size === keys.length;
}
