/** Reads the configuration once: default, then config.toml, then BANGER_… of the environment. */
import { accessSync, constants, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname } from "node:path";
import { BangerError, errnoOf, messageOf } from "#base/error.ts";
import { asUser, type UserIds } from "#base/files/as-user.ts";
import { readRegularFile } from "#base/files/regular-file.ts";
import { didYouMean } from "#base/similar.ts";
import { KiB } from "#base/size.ts";
import { makePaths, type Paths, resolveRoots } from "./paths.ts";
import { type ConfigKey, type ConfigValues, schema, showValue } from "./schema.ts";

const CONFIG_MAX_BYTES = 256 * KiB;
const OTHERS_MAY_WRITE = 0o022;
const S_ISVTX = 0o1000;

export interface Config {
  values: ConfigValues;
  /** "default", the file's path, or the variable's name. */
  origins: Record<ConfigKey, string>;
  paths: Paths;
}

/** The folders of this user, from HOME and the XDG variables. */
export function currentPaths(given: Record<string, string | undefined> = process.env): Paths {
  const { XDG_RUNTIME_DIR: runtime, ...others } = given;
  const env = runtime && mayBe(runtime) ? given : others;
  return makePaths(resolveRoots(env, given["HOME"] || homedir()));
}

/**
 * Whether a folder is there or can be made: logind removes /run/user/1000 when its user has left. Where somebody else
 * may write, such as in /tmp or in what is left of another user's session, they could answer for the daemon.
 */
function mayBe(folder: string): boolean {
  for (let path = folder; ; path = dirname(path)) {
    try {
      accessSync(path, constants.W_OK);
      return isOwn(path, { isExact: path === folder });
    } catch (error) {
      if (errnoOf(error) !== "ENOENT" || path === dirname(path)) return false;
    }
  }
}

/** A new folder may be made in one that everybody writes to, as long as nobody else can remove it there. */
function isOwn(path: string, { isExact }: { isExact: boolean }): boolean {
  const { uid, mode } = statSync(path);
  const isOthers = (mode & OTHERS_MAY_WRITE) !== 0;
  if (isExact) return uid === process.geteuid?.() && !isOthers;
  return (uid === 0 || uid === process.geteuid?.()) && (!isOthers || (mode & S_ISVTX) !== 0);
}

/** Docker's own configuration, where registry credentials are kept. */
export function dockerConfigPath(): string {
  const home = process.env["HOME"] || homedir();
  return `${process.env["DOCKER_CONFIG"] || `${home}/.docker`}/config.json`;
}

/** `invalid_argument` names the file or variable, the key and what it must be. `owner`: whose file it is, for root. */
export async function resolveConfig(
  env: Record<string, string | undefined> = process.env,
  paths: Paths = currentPaths(),
  owner?: UserIds,
): Promise<Config> {
  const keys = Object.keys(schema) as ConfigKey[];
  const fromFile = await readFile(paths.configFile, owner);
  const unknown = [...fromFile.keys()].find((key) => !Object.hasOwn(schema, key));
  if (unknown !== undefined) {
    throw new BangerError(
      "invalid_argument",
      `invalid configuration in ${paths.configFile}: unknown key "${unknown}"`,
      { hint: didYouMean(unknown, keys, "List the keys with: banger config show") },
    );
  }
  const values: Record<string, unknown> = {};
  const origins: Record<string, string> = {};
  for (const key of keys) {
    const variable = variableOf(key);
    const fromEnv = env[variable];
    const origin = fromEnv ? variable : fromFile.has(key) ? paths.configFile : "default";
    origins[key] = origin;
    values[key] =
      origin === "default"
        ? schema[key].fallback
        : parseAt(key, fromEnv || fromFile.get(key), origin);
  }
  return {
    values: values as ConfigValues,
    origins: origins as Record<ConfigKey, string>,
    paths,
  };
}

/** Every key in the schema's order, its value also as a person would write it. */
export function describeConfig({ values, origins }: Config) {
  return (Object.keys(schema) as ConfigKey[]).map((key) => ({
    key,
    value: values[key],
    shown: showValue(key, values[key]),
    origin: origins[key],
  }));
}

/** "vm.stop_grace" is set by BANGER_VM_STOP_GRACE. */
export function variableOf(key: ConfigKey): string {
  return `BANGER_${key.replaceAll(".", "_").toUpperCase()}`;
}

function parseAt(key: ConfigKey, value: unknown, origin: string): unknown {
  try {
    return schema[key].parse(value);
  } catch (error) {
    throw new BangerError(
      "invalid_argument",
      `invalid value for "${key}" in ${origin}: ${messageOf(error)}`,
      {
        hint: schema[key].about,
      },
    );
  }
}

/** The file's keys with tables joined by dots; empty without a file. */
async function readFile(path: string, owner: UserIds | undefined): Promise<Map<string, unknown>> {
  const found = new Map<string, unknown>();
  const text = readText(path, owner);
  if (text === undefined) return found;
  // The parser is loaded only where there is a file, which keeps the start of the CLI short.
  const { parse } = await import("smol-toml");
  try {
    flatten(parse(text), "", found);
  } catch (error) {
    const reason = owner ? placeOf(error) : messageOf(error);
    throw new BangerError("invalid_argument", `Cannot parse ${path}: ${reason}`);
  }
  return found;
}

/** People keep their files elsewhere and link to them; whoever follows the link has the rights of its owner only. */
function readText(path: string, owner: UserIds | undefined): string | undefined {
  const read = (): string =>
    readRegularFile(path, { max_bytes: CONFIG_MAX_BYTES, followsLinks: true });
  try {
    return owner ? asUser(owner, read) : read();
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return undefined;
    if (error instanceof BangerError) throw error;
    throw new BangerError("invalid_argument", `Cannot read ${path}: ${errno ?? messageOf(error)}`, {
      cause: error,
    });
  }
}

/** The parser quotes the line, which is not for everybody who may run this for somebody else. */
function placeOf(error: unknown): string {
  const { line } = (error ?? {}) as { line?: unknown };
  return typeof line === "number" ? `invalid TOML in line ${line}` : "invalid TOML";
}

function flatten(table: object, prefix: string, into: Map<string, unknown>): void {
  for (const [name, value] of Object.entries(table)) {
    const isTable = typeof value === "object" && value !== null && !Array.isArray(value);
    if (isTable) flatten(value, `${prefix}${name}.`, into);
    else into.set(`${prefix}${name}`, value);
  }
}
