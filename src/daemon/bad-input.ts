/** Errors for input that does not fit the contract: the field, and what it must be, in its own unit. */
import { formatDuration } from "#base/duration.ts";
import { BangerError } from "#base/error.ts";
import { formatSize, MiB } from "#base/size.ts";

/** As zod has it; what a library passes on of it may be less. */
export interface InputIssue {
  message: string;
  path?: readonly (PropertyKey | { key: PropertyKey })[] | undefined;
  code?: unknown;
  minimum?: unknown;
  maximum?: unknown;
  origin?: unknown;
  /** Of a key: what is wrong with it. */
  issues?: unknown;
}

export function badInput(issues: readonly InputIssue[]): BangerError {
  const [first] = issues;
  const path = (first?.path ?? [])
    .map((part) => String(typeof part === "object" ? part.key : part))
    .join(".");
  const what = first
    ? (keyProblem(first) ?? boundOf(first, path) ?? first.message)
    : "invalid value";
  return new BangerError("invalid_argument", `invalid value for "${path}": ${what}`);
}

/** Undefined where the problem is no key of a record. */
function keyProblem({ code, issues }: InputIssue): string | undefined {
  const [first]: unknown[] = code === "invalid_key" && Array.isArray(issues) ? issues : [];
  if (typeof first !== "object" || first === null || !("message" in first)) return undefined;
  return String(first.message);
}

/** Undefined where the problem is no bound. */
function boundOf(issue: InputIssue, path: string): string | undefined {
  const { code, minimum, maximum, origin } = issue;
  const isSmall = code === "too_small";
  const bound = Number(isSmall ? minimum : maximum);
  if (!(isSmall || code === "too_big") || !Number.isFinite(bound)) return undefined;
  const limit = isSmall ? "at least" : "at most";
  if (origin === "number" || origin === "int") {
    return `must be ${limit} ${withUnit(bound, path)}`;
  }
  if (origin === "string") return `must have ${limit} ${bound} characters`;
  return origin === "array" ? `must have ${limit} ${bound} entries` : undefined;
}

function withUnit(value: number, path: string): string {
  if (path.endsWith("_mib")) return formatSize(value * MiB);
  if (path.endsWith("_bytes")) return formatSize(value);
  return path.endsWith("_ms") ? formatDuration(value) : String(value);
}
