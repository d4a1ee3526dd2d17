/**
 * Parses rows of the store with schemas. An invalid row is one error about its machine or image; the other rows are
 * still read.
 */
import { z } from "zod";
import { fail } from "#base/assert.ts";
import { BangerError } from "#base/error.ts";

/** How many parsed texts a column keeps, and of which length at most: the same rows are read over and over. */
const KEPT_MAX = 4096;
const KEPT_MAX_CHARS = 4096;

/** A TEXT column that holds JSON. What it gives is frozen, since the same text gives the same object. */
export function jsonColumn<T>(schema: z.ZodType<T>) {
  const kept = new Map<string, T>();
  return z.string().transform((text, context): T => {
    const known = kept.get(text);
    if (known !== undefined) return known;
    const json = parseJson(text);
    const result = schema.safeParse(json);
    if (!result.success) {
      const where = json === undefined ? { message: "not valid JSON" } : located(result.error);
      context.issues.push({ code: "custom", input: text, ...where });
      return z.NEVER;
    }
    const value = frozen(result.data);
    if (text.length <= KEPT_MAX_CHARS) {
      if (kept.size >= KEPT_MAX) kept.clear();
      kept.set(text, value);
    }
    return value;
  });
}

/** Undefined, which fits no schema of a column, for anything else. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function located({ issues }: z.ZodError): { path: PropertyKey[]; message: string } {
  const [first] = issues;
  return { path: first?.path ?? [], message: first?.message ?? "it is damaged" };
}

function frozen<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    for (const each of Object.values(value)) frozen(each);
    Object.freeze(value);
  }
  return value;
}

/** An object of the store: keys that only a newer banger knows are kept when it is written again. */
export function stored<S extends z.ZodRawShape>(shape: S): z.ZodType<z.output<z.ZodObject<S>>> {
  return z.looseObject(shape);
}

export type Noun = "machine" | "image";

export interface UnreadableRow {
  noun: Noun;
  id: string;
  name: string;
  /** Such as "spec.cpus: expected number, received string". */
  problem: string;
}

export interface ReadRows<T> {
  readable: T[];
  unreadable: UnreadableRow[];
}

const idAndName = z.object({ id: z.string(), name: z.string() });

export function readRows<T>(rows: unknown[], noun: Noun, schema: z.ZodType<T>): ReadRows<T> {
  const read: ReadRows<T> = { readable: [], unreadable: [] };
  for (const row of rows) {
    const result = schema.safeParse(row);
    if (result.success) read.readable.push(result.data);
    else {
      const problem = problemOf(result.error);
      read.unreadable.push({ noun, ...idAndName.parse(row), problem });
    }
  }
  return read;
}

/** `integrity` for a row that does not fit. */
export function readRow<T>(row: unknown, noun: Noun, schema: z.ZodType<T>): T {
  const { readable, unreadable } = readRows([row], noun, schema);
  for (const each of unreadable) throw unreadableError(each);
  for (const each of readable) return each;
  fail("a row is readable or not");
}

export function unreadableError({ noun, name, problem }: UnreadableRow): BangerError {
  return new BangerError("integrity", `Cannot read the record of ${noun} "${name}": ${problem}`, {
    hint: `Remove it with: ${removalOf({ noun, name })}`,
  });
}

export function removalOf({ noun, name }: Pick<UnreadableRow, "noun" | "name">): string {
  return noun === "machine" ? `banger vm rm --force ${name}` : `banger image rm ${name}`;
}

function problemOf(error: z.ZodError): string {
  const { path, message } = located(error);
  const what = message.replace(/^Invalid input: /, "");
  return path.length > 0 ? `${path.map(String).join(".")}: ${what}` : what;
}
