/** Where a catalog is from, as `source.json` in its folder or the configuration says it. */
import { existsSync, readFileSync } from "node:fs";
import { isAbsolute } from "node:path";
import { z } from "zod";
import { BangerError } from "#base/error.ts";
import { parsePublicKey } from "./minisign.ts";
import { parseCatalogUrl } from "./remote.ts";

const recordSchema = z.object({
  schema: z.literal(1),
  /** An absolute path, or a URL. */
  from: z.string().min(1).max(4096),
  /** minisign's, one line. */
  key: z.string().max(100).optional(),
  /** Not there before a catalog of the configuration was fetched. */
  updatedAt: z.iso.datetime().optional(),
});
export type CatalogRecord = z.infer<typeof recordSchema>;

export interface CatalogAddress {
  from: string;
  key?: string | undefined;
}

/** `invalid_argument` for a URL without its key, and for one that is not https. */
export function newRecord({ from, key }: CatalogAddress): CatalogRecord {
  const updatedAt = new Date().toISOString();
  const text = key === undefined ? {} : { key: parsePublicKey(key).text };
  if (!isRemote(from)) {
    if (!isAbsolute(from)) {
      throw new BangerError(
        "invalid_argument",
        `invalid catalog "${from}": expected an absolute path or an https URL`,
      );
    }
    return { schema: 1, from, ...text, updatedAt };
  }
  if (key !== undefined) return { schema: 1, from: parseCatalogUrl(from).href, ...text, updatedAt };
  throw new BangerError(
    "invalid_argument",
    "missing public key: a catalog at a URL must be signed",
    {
      hint: "Get the public key from the catalog's author and pass it with --key",
    },
  );
}

/** What was fetched from another address than the configuration has now counts as not fetched. */
export function configuredRecord({ from, key }: CatalogAddress, path: string): CatalogRecord {
  const record = newRecord({ from, key });
  const fetched = readRecord(path);
  const isSame = fetched?.from === record.from && fetched.key === record.key;
  return { ...record, updatedAt: isSame ? fetched.updatedAt : undefined };
}

/** Undefined when there is none, or one that is damaged. */
export function readRecord(path: string): CatalogRecord | undefined {
  if (!existsSync(path)) return undefined;
  return recordSchema.safeParse(tryJson(readFileSync(path, "utf8"))).data;
}

export function isRemote(from: string): boolean {
  return /^[a-z]+:\/\//i.test(from);
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
