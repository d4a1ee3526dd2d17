/**
 * Credentials from docker's config.json (or podman's auth.json, in the same format): `auths`, `credHelpers` and
 * `credsStore`. They are looked up only after a registry has requested them.
 */
import { readFile, stat } from "node:fs/promises";
import { z } from "zod";
import { BangerError, errnoOf, messageOf } from "#base/error.ts";
import { run } from "#base/run.ts";
import { MiB } from "#base/size.ts";
import { parseDocument } from "#oci/document.ts";
import { DOCKER_HUB } from "#oci/reference.ts";

const MAX_CONFIG_BYTES = 4 * MiB;
const MAX_HELPER_OUTPUT_BYTES = 1 * MiB;
const HELPER_TIMEOUT_MS = 30_000;

/** docker's key for the login of docker.io. */
const DOCKER_HUB_KEY = "https://index.docker.io/v1/";

export type Credential =
  | { kind: "password"; username: string; password: string }
  /** An OAuth2 refresh token, to be exchanged for a bearer token. */
  | { kind: "refresh"; token: string }
  /** A bearer token that the registry accepts directly. */
  | { kind: "bearer"; token: string };

export interface FoundCredential {
  credential?: Credential;
  /** Why an expected credential is missing; for hints, without secrets. */
  problem?: string;
}

const authSchema = z.object({
  auth: z.string().nullish(),
  username: z.string().nullish(),
  password: z.string().nullish(),
  identitytoken: z.string().nullish(),
  registrytoken: z.string().nullish(),
});

const fileSchema = z.object({
  auths: z.record(z.string(), authSchema).nullish(),
  credHelpers: z.record(z.string(), z.string()).nullish(),
  credsStore: z.string().nullish(),
});

const helperSchema = z.object({ Username: z.string(), Secret: z.string() });

export interface CredentialOptions {
  /** docker's config.json; no file, no credentials. */
  dockerConfigPath?: string | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * The credential for a registry ("docker.io", "ghcr.io", "127.0.0.1:5000"), if any. A failing helper is a `problem`,
 * not an error, since most images need no login.
 */
export async function findCredential(
  registry: string,
  options: CredentialOptions,
): Promise<FoundCredential> {
  const file = await readConfig(options.dockerConfigPath);
  if (!file) return {};
  const keys = keysOf(registry);
  const helper = pick(file.credHelpers, keys) ?? file.credsStore;
  const found: FoundCredential = helper ? await runHelper(helper, registry, options.signal) : {};
  if (found.credential) return found;
  const entry = pick(file.auths, keys);
  const credential = entry ? fromEntry(entry) : undefined;
  return credential ? { credential } : found;
}

async function readConfig(
  path: string | undefined,
): Promise<z.output<typeof fileSchema> | undefined> {
  if (path === undefined) return undefined;
  try {
    const { size } = await stat(path);
    if (size > MAX_CONFIG_BYTES) {
      throw new BangerError("limit_exceeded", `Cannot read "${path}": too large: ${size} bytes`);
    }
    return parseDocument(await readFile(path), fileSchema, `"${path}"`);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** All keys that docker and podman use for this registry. */
function keysOf(registry: string): string[] {
  if (registry === DOCKER_HUB) {
    return [
      DOCKER_HUB_KEY,
      ...["index.docker.io", "docker.io", "registry-1.docker.io"].flatMap(keyForms),
    ];
  }
  return keyForms(registry);
}

function keyForms(host: string): string[] {
  return ["", "https://", "http://"].flatMap((scheme) =>
    ["", "/", "/v1", "/v1/", "/v2", "/v2/"].map((path) => `${scheme}${host}${path}`),
  );
}

function pick<T>(record: Record<string, T> | null | undefined, keys: string[]): T | undefined {
  const key = keys.find((candidate) => record && Object.hasOwn(record, candidate));
  return key === undefined ? undefined : record?.[key];
}

function fromEntry(entry: z.output<typeof authSchema>): Credential | undefined {
  if (entry.registrytoken) return { kind: "bearer", token: entry.registrytoken };
  if (entry.identitytoken) return { kind: "refresh", token: entry.identitytoken };
  if (entry.auth) return fromBasic(entry.auth);
  if (!entry.username) return undefined;
  return { kind: "password", username: entry.username, password: entry.password ?? "" };
}

function fromBasic(auth: string): Credential | undefined {
  const text = Buffer.from(auth, "base64").toString("utf8").replace(/\0+$/, "");
  const colon = text.indexOf(":");
  if (colon <= 0) return undefined;
  return { kind: "password", username: text.slice(0, colon), password: text.slice(colon + 1) };
}

async function runHelper(
  name: string,
  registry: string,
  signal: AbortSignal | undefined,
): Promise<FoundCredential> {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(name)) {
    return { problem: "invalid credential helper name in docker's config" };
  }
  const program = `docker-credential-${name}`;
  try {
    const { exitCode, stdout } = await run([program, "get"], {
      stdin: registry === DOCKER_HUB ? DOCKER_HUB_KEY : registry,
      timeout_ms: HELPER_TIMEOUT_MS,
      outputMax_bytes: MAX_HELPER_OUTPUT_BYTES,
      signal,
    });
    // Helpers print the reason on stdout. "Not found" is not a problem.
    if (exitCode !== 0) {
      if (/not found/i.test(stdout)) return {};
      return { problem: `"${program}" failed with exit status ${exitCode}` };
    }
    const answer = parseDocument(Buffer.from(stdout), helperSchema, `the answer of "${program}"`);
    if (answer.Username === "<token>")
      return { credential: { kind: "refresh", token: answer.Secret } };
    const { Username: username, Secret: password } = answer;
    return { credential: { kind: "password", username, password } };
  } catch (error) {
    if (signal?.aborted) throw error;
    return { problem: messageOf(error) };
  }
}
