/**
 * The catalogs that a user added, in a directory of the configuration:
 *
 *     <dir>/NAME/source.json            its source and public key
 *     <dir>/NAME/catalog.json           the last download of a remote catalog
 *     <dir>/NAME/catalog.json.minisig
 *     <dir>/.configured/NAME/           the same for a catalog in config.toml
 *
 * A local catalog is read in place. Downloads are verified at every use, so changes on disk are detected.
 */
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { BangerError, toBangerError } from "#base/error.ts";
import { makeFolderAtomic, STAGING_MARK, stagingPath } from "#base/files/atomic.ts";
import { exchange } from "#base/files/exchange.ts";
import { didYouMean } from "#base/similar.ts";
import { type Catalog, type Entry, embeddedCatalog, parseCatalog } from "#kernels/catalog.ts";
import { nameSchema } from "#kernels/manifest.ts";
import { parsePublicKey, verify } from "./minisign.ts";
import {
  type CatalogAddress,
  type CatalogRecord,
  configuredRecord,
  isRemote,
  newRecord,
  readRecord,
} from "./record.ts";
import { fetchCatalog, MAX_CATALOG_BYTES, type SignedText } from "./remote.ts";

/** Name of the embedded catalog. */
export const BUILT_IN = "banger";
const MAX_CATALOGS = 100;
/** Reserved: not a valid catalog name. */
const CONFIGURED = ".configured";

/** An entry and the name of its catalog. */
export type NamedEntry = Entry & { catalog: string };

export interface CatalogInfo {
  name: string;
  from: string;
  /** Id of its key. */
  keyId: string | undefined;
  updatedAt: string | undefined;
  kernels: number;
  /** Why it is unusable. */
  problem: string | undefined;
}

export interface AddRequest extends CatalogAddress {
  /** Default: the host's or the file's name. */
  name?: string | undefined;
}

export class CatalogStore {
  readonly #dir: string;
  readonly #configured: ReadonlyMap<string, CatalogAddress>;

  constructor(dir: string, configured: ReadonlyMap<string, CatalogAddress> = new Map()) {
    this.#dir = dir;
    this.#configured = configured;
  }

  list(): CatalogInfo[] {
    const builtIn = {
      name: BUILT_IN,
      from: "the program",
      keyId: undefined,
      updatedAt: undefined,
      kernels: embeddedCatalog().kernels.length,
      problem: undefined,
    };
    return [builtIn, ...this.#names().map((name) => this.#info(name))];
  }

  /** Entries of all catalogs. The embedded one comes first, so that others cannot override its names. */
  entries(): { kernels: NamedEntry[]; problems: BangerError[] } {
    const kernels = embeddedCatalog().kernels.map((entry) => ({ ...entry, catalog: BUILT_IN }));
    const problems: BangerError[] = [];
    const taken = new Set(kernels.map(({ name, arch }) => `${name} ${arch}`));
    for (const catalog of this.#names()) {
      try {
        for (const entry of this.#load(catalog).kernels) {
          if (taken.has(`${entry.name} ${entry.arch}`)) continue;
          taken.add(`${entry.name} ${entry.arch}`);
          kernels.push({ ...entry, catalog });
        }
      } catch (error) {
        problems.push(toBangerError(error));
      }
    }
    return { kernels, problems };
  }

  async add(request: AddRequest, signal?: AbortSignal): Promise<CatalogInfo> {
    const name = checkName(request.name ?? defaultName(request.from));
    const place = join(this.#dir, name);
    if (name === BUILT_IN || this.#configured.has(name) || existsSync(place)) {
      throw new BangerError("already_exists", `Cannot add catalog "${name}": it exists already`, {
        hint: "Use a different name with --name",
      });
    }
    if (this.#names().length >= MAX_CATALOGS) {
      throw new BangerError("limit_exceeded", `Cannot add catalog "${name}": too many catalogs`);
    }
    const record = newRecord(request);
    const fetched = await fetchIfRemote(record, signal);
    if (!fetched) readFileCatalog(record, name);
    await makeFolderAtomic(place, async (staging) => write(staging, record, fetched));
    return this.#info(name);
  }

  /** Downloads remote catalogs again; checks local ones. */
  async update(name: string, signal?: AbortSignal): Promise<CatalogInfo> {
    const record = this.#record(name);
    const place = this.#place(name);
    const fetched = await fetchIfRemote(record, signal);
    if (!fetched) return this.#info(name);
    const fresh = { ...record, updatedAt: new Date().toISOString() };
    if (!existsSync(place)) {
      await makeFolderAtomic(place, async (folder) => write(folder, fresh, fetched));
      return this.#info(name);
    }
    if (record.updatedAt) assertNotOlder(name, fetched, readFetched(place), record);
    const staging = stagingPath(place);
    try {
      await makeFolderAtomic(staging, async (folder) => write(folder, fresh, fetched));
      exchange(staging, place);
    } finally {
      rmSync(staging, { recursive: true, force: true });
    }
    return this.#info(name);
  }

  remove(name: string): void {
    if (this.#configured.has(name)) {
      const text = `Cannot remove catalog "${name}": it is set in the configuration`;
      throw new BangerError("invalid_argument", text, {
        hint: "Remove it from kernel.catalogs in config.toml",
      });
    }
    this.#record(name);
    const doomed = stagingPath(join(this.#dir, name));
    renameSync(join(this.#dir, name), doomed);
    rmSync(doomed, { recursive: true, force: true });
  }

  names(): string[] {
    return this.#names();
  }

  #names(): string[] {
    const added = existsSync(this.#dir) ? readdirSync(this.#dir) : [];
    const names = added.filter(
      (name) => !name.startsWith(STAGING_MARK) && nameSchema.safeParse(name).success,
    );
    return [...new Set([...this.#configured.keys(), ...names])].sort();
  }

  #place(name: string): string {
    const folder = this.#configured.has(name) ? join(this.#dir, CONFIGURED) : this.#dir;
    return join(folder, name);
  }

  #record(name: string): CatalogRecord {
    const path = join(this.#place(checkName(name)), "source.json");
    if (name === BUILT_IN) {
      throw new BangerError("invalid_argument", `Cannot change catalog "${name}": it is built in`);
    }
    const configured = this.#configured.get(name);
    if (configured) return configuredRecord(configured, path);
    if (!existsSync(path)) {
      throw new BangerError("not_found", `no such catalog "${name}"`, {
        hint: didYouMean(name, this.#names(), "banger kernel catalog list"),
      });
    }
    const record = readRecord(path);
    if (record) return record;
    throw new BangerError("integrity", `Cannot use catalog "${name}": corrupt file "${path}"`, {
      hint: `Remove it and add it again: banger kernel catalog rm ${name}`,
    });
  }

  #load(name: string): Catalog {
    const record = this.#record(name);
    if (!isRemote(record.from)) return readFileCatalog(record, name);
    if (record.updatedAt === undefined) {
      throw new BangerError("not_found", `Cannot use catalog "${name}": not downloaded yet`, {
        hint: `banger kernel catalog update ${name}`,
      });
    }
    const { text, signature } = readFetched(this.#place(name));
    const key = parsePublicKey(record.key ?? "");
    verify(Buffer.from(text), signature, { key, what: `catalog "${name}"` });
    return parseCatalog(text, `catalog "${name}"`);
  }

  #info(name: string): CatalogInfo {
    const base = { name, from: "", keyId: undefined, updatedAt: undefined, kernels: 0 };
    try {
      const { from, key, updatedAt } = this.#record(name);
      const known = { ...base, from, keyId: key && parsePublicKey(key).id, updatedAt };
      try {
        return { ...known, kernels: this.#load(name).kernels.length, problem: undefined };
      } catch (error) {
        return { ...known, problem: toBangerError(error).message };
      }
    } catch (error) {
      return { ...base, problem: toBangerError(error).message };
    }
  }
}

async function fetchIfRemote(
  record: CatalogRecord,
  signal: AbortSignal | undefined,
): Promise<SignedText | undefined> {
  if (!isRemote(record.from)) return undefined;
  const fetched = await fetchCatalog(record.from, {
    key: parsePublicKey(record.key ?? ""),
    signal: signal ?? new AbortController().signal,
  });
  parseCatalog(fetched.text, `catalog "${record.from}"`);
  return fetched;
}

/** Prevents rollback attacks with an old signed catalog. */
function assertNotOlder(
  name: string,
  fetched: SignedText,
  here: SignedText,
  record: CatalogRecord,
): void {
  const key = parsePublicKey(record.key ?? "");
  const timeOf = ({ text, signature }: SignedText): number => {
    try {
      const what = `catalog "${name}"`;
      return verify(Buffer.from(text), signature, { key, what }).timestamp_s ?? 0;
    } catch {
      return 0;
    }
  };
  if (timeOf(fetched) >= timeOf(here)) return;
  throw new BangerError(
    "integrity",
    `Cannot update catalog "${name}": the server's version has an older signature`,
    {
      hint: `If the author rolled it back on purpose, remove it and add it again: banger kernel catalog rm ${name}`,
    },
  );
}

function readFileCatalog({ from, key }: CatalogRecord, name: string): Catalog {
  const what = `catalog "${name}"`;
  const text = readCapped(from, what);
  if (key !== undefined) {
    const signature = readCapped(`${from}.minisig`, what);
    verify(Buffer.from(text), signature, { key: parsePublicKey(key), what });
  }
  return parseCatalog(text, what);
}

function readFetched(place: string): SignedText {
  const path = join(place, "catalog.json");
  const what = `catalog "${basename(place)}"`;
  return { text: readCapped(path, what), signature: readCapped(`${path}.minisig`, what) };
}

function readCapped(path: string, what: string): string {
  if (!existsSync(path)) {
    throw new BangerError("not_found", `Cannot read ${what}: no such file "${path}"`);
  }
  if (statSync(path).size <= MAX_CATALOG_BYTES) return readFileSync(path, "utf8");
  throw new BangerError("limit_exceeded", `Cannot read ${what}: too large: "${path}"`);
}

function write(folder: string, record: CatalogRecord, fetched: SignedText | undefined): void {
  const put = (name: string, text: string): void =>
    writeFileSync(join(folder, name), text, { mode: 0o600 });
  put("source.json", `${JSON.stringify(record, undefined, 2)}\n`);
  if (!fetched) return;
  put("catalog.json", fetched.text);
  put("catalog.json.minisig", fetched.signature);
}

function defaultName(from: string): string {
  const last = isRemote(from)
    ? URL.canParse(from)
      ? new URL(from).hostname
      : from
    : basename(from);
  return last
    .toLowerCase()
    .replace(/\.json$/, "")
    .replaceAll(/[^a-z0-9.-]+/g, "-")
    .replaceAll(/^[.-]+|[.-]+$/g, "");
}

function checkName(name: string): string {
  if (nameSchema.safeParse(name).success) return name;
  throw new BangerError("invalid_argument", `invalid catalog name ${JSON.stringify(name)}`, {
    hint: "Set a name with --name, of lower-case letters, digits, dots and dashes",
  });
}
