/** The catalog: which kernels can be had by name, and where each comes from. */
import { z } from "zod";
import { isDigest } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { didYouMean } from "#base/similar.ts";
import embedded from "./catalog.json" with { type: "json" };
import { type Arch, archSchema, nameSchema } from "./manifest.ts";

const MAX_ENTRIES = 10_000;

const sourceSchema = z.discriminatedUnion("kind", [
  /** A package, or a meta-package for one, of the distribution that this computer runs. */
  z.object({
    kind: z.literal("debian"),
    package: z.string().regex(/^[a-z0-9][a-z0-9.+-]+$/),
  }),
  /** A `<name>-<arch>.tar.zst` with the bundle's files at its root. */
  z.object({
    kind: z.literal("tarball"),
    url: z.url(),
    sha256: z.string().refine(isDigest),
    size_bytes: z.int().min(1),
  }),
  /** Built here, by the recipe of that name. */
  z.object({ kind: z.literal("recipe"), recipe: nameSchema }),
]);

const entrySchema = z.object({
  name: nameSchema,
  distro: z.string().min(1).max(63),
  arch: archSchema,
  description: z.string().max(300),
  source: sourceSchema,
});
export type Entry = z.infer<typeof entrySchema>;

/** A name may stand once for each architecture. */
export const catalogSchema = z.object({
  schema: z.literal(1),
  kernels: z
    .array(entrySchema)
    .max(MAX_ENTRIES)
    .refine((list) => new Set(list.map(keyOf)).size === list.length, {
      error: "a name stands twice for one architecture",
    }),
});
export type Catalog = z.infer<typeof catalogSchema>;

export function embeddedCatalog(): Catalog {
  return catalogSchema.parse(embedded);
}

/** The entries that this computer's architecture can boot. */
export function entriesFor(catalog: Catalog, arch: Arch): Entry[] {
  return catalog.kernels.filter((entry) => entry.arch === arch);
}

/** `not_found` with the nearest names; `unsupported` when it is there for another architecture only. */
export function findEntry(catalog: Catalog, name: string, arch: Arch): Entry {
  const named = catalog.kernels.filter((entry) => entry.name === name);
  const entry = named.find((candidate) => candidate.arch === arch);
  if (entry) return entry;
  if (named.length > 0) {
    const others = named.map((candidate) => candidate.arch).join(", ");
    throw new BangerError(
      "unsupported",
      `Cannot pull kernel "${name}": the catalog has it for ${others} only`,
      { hint: "banger kernel list --available" },
    );
  }
  const names = entriesFor(catalog, arch).map((candidate) => candidate.name);
  throw new BangerError(
    "not_found",
    `Cannot find kernel "${name.slice(0, 100)}": it is not in the catalog`,
    { hint: didYouMean(name, names, "banger kernel list --available") },
  );
}

/** The architecture of this computer, in the distributions' words. */
export function hostArch(): Arch {
  return process.arch === "arm64" ? "arm64" : "amd64";
}

function keyOf({ name, arch }: { name: string; arch: Arch }): string {
  return `${name} ${arch}`;
}
