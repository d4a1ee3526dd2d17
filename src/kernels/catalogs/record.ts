/** The source of a catalog, from `source.json` in its directory or from the configuration. */
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
  /** A minisign public key, one line. */
  key: z.string().max(100).optional(),
  /** Missing until a configured catalog is downloaded. */
  updatedAt: z.iso.datetime().optional(),
});
export type CatalogRecord = z.infer<typeof recordSchema>;

export interface CatalogAddress {
  from: string;
  key?: string | undefined;
}

/** `invalid_argument` for a URL without a key, and for one that is not https. */
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

/** A download from an address that is no longer configured does not count. */
export function configuredRecord({ from, key }: CatalogAddress, path: string): CatalogRecord {
  const record = newRecord({ from, key });
  const fetched = readRecord(path);
  const isSame = fetched?.from === record.from && fetched.key === record.key;
  return { ...record, updatedAt: isSame ? fetched.updatedAt : undefined };
}

/** Undefined if missing or corrupt. */
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
