/**
 * Kernel catalogs: JSON documents with the names and sources of kernels. `catalogJsonSchema` is the published schema;
 * docs/kernel-catalog.md is the manual.
 */
import { z } from "zod";
import { type Digest, isDigest } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { didYouMean } from "#base/similar.ts";
import { GiB } from "#base/size.ts";
import embedded from "./catalog.json" with { type: "json" };
import { type Arch, archSchema, nameSchema } from "./manifest.ts";

const MAX_ENTRIES = 10_000;
const MAX_FEATURES = 1000;
const MAX_TARBALL_BYTES = 4 * GiB;

const digestSchema = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/)
  .transform((text) => text as Digest)
  .refine(isDigest);

const sourceSchema = z.discriminatedUnion("kind", [
  z
    .object({
      kind: z.literal("debian"),
      package: z.string().regex(/^[a-z0-9][a-z0-9.+-]+$/),
    })
    .describe("Package, or meta-package, of the host's distribution"),
  z
    .object({
      kind: z.literal("tarball"),
      url: z.url({ protocol: /^https?$/ }).max(2000),
      sha256: digestSchema,
      size_bytes: z.int().min(1).max(MAX_TARBALL_BYTES),
      unpacked_bytes: z.int().min(1).optional().describe("Total size of all files"),
    })
    .describe("<name>-<arch>.tar.zst with the bundle's files at its root"),
  z
    .object({ kind: z.literal("recipe"), recipe: nameSchema })
    .describe("Name of the recipe to build it with, on the host"),
]);

const entrySchema = z.object({
  name: nameSchema,
  distro: z.string().min(1).max(63),
  arch: archSchema,
  description: z.string().max(300),
  version: z
    .string()
    .regex(/^\d+\.\d+[\w.+~-]{0,100}$/)
    .optional()
    .describe("Kernel release, as printed by uname -r"),
  features: z.array(nameSchema).max(MAX_FEATURES).optional().describe("Features of the kernel"),
  source: sourceSchema,
});
export type Entry = z.infer<typeof entrySchema>;
export type EntrySource = Entry["source"];

/** A name is unique per architecture. */
export const catalogSchema = z.object({
  schema: z.literal(1),
  kernels: z
    .array(entrySchema)
    .max(MAX_ENTRIES)
    .refine((list) => new Set(list.map(keyOf)).size === list.length, {
      error: "duplicate name for one architecture",
    }),
});
export type Catalog = z.infer<typeof catalogSchema>;

/** JSON Schema (2020-12) of a catalog. */
export function catalogJsonSchema(): Record<string, unknown> {
  return { title: "banger kernel catalog", ...z.toJSONSchema(catalogSchema, { io: "input" }) };
}

/** `what`: 'catalog "mine"'. `integrity` with the first problem. */
export function parseCatalog(text: string, what: string): Catalog {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (cause) {
    throw new BangerError("integrity", `Cannot read ${what}: invalid JSON`, { cause });
  }
  const result = catalogSchema.safeParse(document);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const place = issue?.path.join(".") || "the document";
  throw new BangerError("integrity", `invalid ${what}: ${place}: ${issue?.message}`, {
    hint: "See the format with: banger kernel catalog schema",
  });
}

export function embeddedCatalog(): Catalog {
  return catalogSchema.parse(embedded);
}

/** The entries for the host's architecture. */
export function entriesFor<E extends { arch: Arch }>(
  catalog: { kernels: readonly E[] },
  arch: Arch,
): E[] {
  return catalog.kernels.filter((entry) => entry.arch === arch);
}

/** `not_found` with similar names; `unsupported` if it exists for another architecture only. */
export function findEntry<E extends { name: string; arch: Arch }>(
  catalog: { kernels: readonly E[] },
  name: string,
  arch: Arch,
): E {
  const named = catalog.kernels.filter((entry) => entry.name === name);
  const entry = named.find((candidate) => candidate.arch === arch);
  if (entry) return entry;
  if (named.length > 0) {
    const others = [...new Set(named.map((candidate) => candidate.arch))].join(", ");
    throw new BangerError(
      "unsupported",
      `Cannot pull kernel "${name}": available only for ${others}`,
      { hint: "List available kernels with: banger kernel list --available" },
    );
  }
  const names = entriesFor(catalog, arch).map((candidate) => candidate.name);
  throw new BangerError("not_found", `no such kernel in the catalog: "${name.slice(0, 100)}"`, {
    hint: didYouMean(name, names, "List available kernels with: banger kernel list --available"),
  });
}

/** The host's architecture, as distributions name it. */
export function hostArch(): Arch {
  return process.arch === "arm64" ? "arm64" : "amd64";
}

function keyOf({ name, arch }: { name: string; arch: Arch }): string {
  return `${name} ${arch}`;
}
