/** Selects a kernel with the required features, or tells which one to pull or build. */
import { BangerError } from "#base/error.ts";
import { didYouMean } from "#base/similar.ts";
import { featuresOfEntry } from "./available.ts";
import type { Bundle } from "./bundle.ts";
import type { NamedEntry } from "./catalogs/store.ts";
import { featureNames } from "./features.ts";

const MAX_NEEDS = 50;

export interface SelectFrom {
  /** Existing kernels for the host's architecture. */
  bundles: readonly Bundle[];
  /** Catalog entries. */
  entries: readonly NamedEntry[];
  /** Preferred kernels, in order. */
  preferred: readonly string[];
}

/** Parses `--needs`, "containers,wireguard". `invalid_argument` for unknown features. */
export function parseNeeds(text: string): string[] {
  const needs = [...new Set(text.split(",").map((word) => word.trim()))].filter(Boolean);
  if (needs.length > MAX_NEEDS) throw new BangerError("invalid_argument", "too many --needs");
  assertKnown(needs);
  return needs;
}

/** `not_found` with the kernel to pull or build if no existing one has all of `needs`. */
export function selectKernel(needs: readonly string[], from: SelectFrom): Bundle {
  assertKnown(needs);
  const fitting = from.bundles.filter(({ manifest }) =>
    hasAll(
      manifest.features.map(({ name }) => name),
      needs,
    ),
  );
  const rank = (bundle: Bundle): number => {
    const place = from.preferred.indexOf(bundle.manifest.name);
    return place < 0 ? from.preferred.length : place;
  };
  const [best] = fitting.toSorted((a, b) => rank(a) - rank(b) || newerFirst(a, b));
  if (best) return best;
  const list = needs.join(", ");
  const candidates = from.entries.filter((entry) => hasAll(featuresOfEntry(entry) ?? [], needs));
  const [candidate] = candidates.toSorted((a, b) => effort(a) - effort(b));
  if (candidate) {
    const verb = candidate.source.kind === "recipe" ? "build" : "pull";
    throw new BangerError("not_found", `no installed kernel has ${list}`, {
      hint: `banger kernel ${verb} ${candidate.name}`,
    });
  }
  throw new BangerError("not_found", `no installed or available kernel has ${list}`, {
    hint: "List the features of available kernels with: banger kernel list --available",
  });
}

function assertKnown(needs: readonly string[]): void {
  const known = featureNames();
  const unknown = needs.find((need) => !known.includes(need));
  if (unknown === undefined) return;
  throw new BangerError("invalid_argument", `unknown kernel feature "${unknown.slice(0, 100)}"`, {
    hint: didYouMean(unknown, known, `Available features: ${known.join(", ")}`),
  });
}

function hasAll(features: readonly string[], needs: readonly string[]): boolean {
  return needs.every((need) => features.includes(need));
}

/** Downloading is faster than building. */
function effort({ source }: NamedEntry): number {
  return source.kind === "recipe" ? 1 : 0;
}

function newerFirst(a: Bundle, b: Bundle): number {
  return b.manifest.version.localeCompare(a.manifest.version, "en", { numeric: true });
}
