/** Edits and signs a catalog to be published: keys, signatures and entries. */
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { BangerError } from "#base/error.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { quoteWord } from "#base/shell/word.ts";
import { type Catalog, type Entry, parseCatalog } from "#kernels/catalog.ts";
import { generateKeyPair, parseSecretKey, sign } from "./minisign.ts";
import { MAX_CATALOG_BYTES } from "./remote.ts";

const MAX_KEY_BYTES = 4096;

export interface KeyFiles {
  /** Path of the secret key. */
  secret: string;
  public: string;
  /** Public key in base64, for "catalog add --key". */
  key: string;
}

/** Writes PATH and PATH.pub, which must not exist. */
export function writeKeyPair(path: string): KeyFiles {
  const files = { secret: path, public: `${path}.pub` };
  for (const file of Object.values(files)) {
    if (!existsSync(file)) continue;
    throw new BangerError(
      "already_exists",
      `Cannot generate a key pair: "${file}" exists already`,
      {
        hint: "Use a different file, or move this one away; catalogs signed with it still need it",
      },
    );
  }
  if (!existsSync(dirname(path))) {
    throw new BangerError("not_found", `Cannot write "${path}": no such directory`, {
      hint: `Create it with: mkdir -p ${quoteWord(dirname(path))}`,
    });
  }
  const pair = generateKeyPair();
  writeFileSync(files.secret, pair.secretFile, { mode: 0o600, flag: "wx" });
  writeFileSync(files.public, pair.publicFile, { mode: 0o644, flag: "wx" });
  return { ...files, key: pair.publicKey.text };
}

/** Writes CATALOG.minisig and returns its path. The catalog must be valid. */
export function signCatalog(catalog: string, keyPath: string, now = new Date()): string {
  const bytes = readSmall(catalog, MAX_CATALOG_BYTES);
  parseCatalog(bytes.toString(), `catalog "${catalog}"`);
  const secret = parseSecretKey(readSmall(keyPath, MAX_KEY_BYTES).toString());
  const comment = `timestamp:${Math.floor(now.getTime() / 1000)}\tfile:${basename(catalog)}\thashed`;
  const path = `${catalog}.minisig`;
  writeFileAtomic(path, sign(bytes, secret, comment), { mode: 0o644 });
  return path;
}

/** Adds the entry to the file, replacing one of the same name and architecture. Creates the file if missing. */
export function putEntry(path: string, entry: Entry): void {
  const catalog = existsSync(path) ? readCatalogFile(path) : { schema: 1 as const, kernels: [] };
  const at = indexOf(catalog, entry);
  if (at < 0) catalog.kernels.push(entry);
  else catalog.kernels[at] = entry;
  writeCatalogFile(path, catalog);
}

/** Removes the entry from the file and returns it; undefined if it does not exist. */
export function removeEntry(
  path: string,
  wanted: { name: string; arch: string },
): Entry | undefined {
  const catalog = readCatalogFile(path);
  const at = indexOf(catalog, wanted);
  if (at < 0) return undefined;
  const [entry] = catalog.kernels.splice(at, 1);
  writeCatalogFile(path, catalog);
  return entry;
}

export function readCatalogFile(path: string): Catalog {
  return parseCatalog(readSmall(path, MAX_CATALOG_BYTES).toString(), `catalog "${path}"`);
}

function indexOf(catalog: Catalog, { name, arch }: { name: string; arch: string }): number {
  return catalog.kernels.findIndex((entry) => entry.name === name && entry.arch === arch);
}

function writeCatalogFile(path: string, catalog: Catalog): void {
  const text = `${JSON.stringify(catalog, undefined, 2)}\n`;
  parseCatalog(text, `catalog "${path}"`);
  const mode = existsSync(path) ? statSync(path).mode & 0o777 : 0o644;
  writeFileAtomic(path, text, { mode });
}

function readSmall(path: string, max_bytes: number): Buffer {
  if (!existsSync(path)) {
    throw new BangerError("not_found", `Cannot read "${path}": no such file`);
  }
  const stat = statSync(path);
  if (!stat.isFile()) {
    throw new BangerError("invalid_argument", `Cannot read "${path}": not a regular file`);
  }
  if (stat.size <= max_bytes) return readFileSync(path);
  throw new BangerError("limit_exceeded", `Cannot read "${path}": too large`);
}
