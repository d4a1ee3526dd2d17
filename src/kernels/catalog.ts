/**
 * A catalog: which kernels can be had by name, and where each comes from. It is one JSON
 * document; `catalogJsonSchema` is its published schema, docs/kernel-catalog.md its manual.
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
    .describe("A package, or a meta-package for one, of the distribution that a computer runs"),
  z
    .object({
      kind: z.literal("tarball"),
      url: z.url({ protocol: /^https?$/ }).max(2000),
      sha256: digestSchema,
      size_bytes: z.int().min(1).max(MAX_TARBALL_BYTES),
      unpacked_bytes: z.int().min(1).optional().describe("Of all its files together"),
    })
    .describe("A <name>-<arch>.tar.zst with the bundle's files at its root"),
  z
    .object({ kind: z.literal("recipe"), recipe: nameSchema })
    .describe("Built where it is wanted, by the recipe of that name"),
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
    .describe("The kernel's own release, what uname -r prints"),
  features: z.array(nameSchema).max(MAX_FEATURES).optional().describe("What it can do"),
  source: sourceSchema,
});
export type Entry = z.infer<typeof entrySchema>;
export type EntrySource = Entry["source"];

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

/** JSON Schema (2020-12) of a catalog. */
export function catalogJsonSchema(): Record<string, unknown> {
  return { title: "banger kernel catalog", ...z.toJSONSchema(catalogSchema, { io: "input" }) };
}

/** `what`: 'catalog "mine"'. `integrity` with the first thing that is wrong. */
export function parseCatalog(text: string, what: string): Catalog {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (cause) {
    throw new BangerError("integrity", `Cannot read ${what}: it is no JSON`, { cause });
  }
  const result = catalogSchema.safeParse(document);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const place = issue?.path.join(".") || "the document";
  throw new BangerError("integrity", `Cannot use ${what}: ${place}: ${issue?.message}`, {
    hint: "banger kernel catalog schema prints what a catalog may say",
  });
}

export function embeddedCatalog(): Catalog {
  return catalogSchema.parse(embedded);
}

/** The entries that this computer's architecture can boot. */
export function entriesFor<E extends { arch: Arch }>(
  catalog: { kernels: readonly E[] },
  arch: Arch,
): E[] {
  return catalog.kernels.filter((entry) => entry.arch === arch);
}

/** `not_found` with the nearest names; `unsupported` when it is there for another architecture only. */
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
