/**
 * Parses image references, by the grammar of distribution/reference:
 *
 *     [REGISTRY[:PORT]/]PATH[:TAG][@DIGEST]
 *
 * The first path component is a registry when it has a dot, a colon or an upper-case letter, or is "localhost".
 * Without a registry it is docker.io, where a path of one component lives under "library/".
 */
import { type Digest, isDigest } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";

export const DOCKER_HUB = "docker.io";
const TAG_DEFAULT = "latest";

const MAX_REFERENCE_CHARS = 1024;
const MAX_NAME_CHARS = 255;

const hostPattern =
  /^(?:(?:[a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9])(?:\.(?:[a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9]))*|\[[0-9a-f:]+\])(?::([0-9]{1,5}))?$/;
const componentPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

export interface Reference {
  /** As the user wrote it. */
  original: string;
  /** Host and port in lower case: "docker.io", "127.0.0.1:5000", "[::1]:5000". */
  registry: string;
  /** Path inside the registry: "library/debian". */
  repository: string;
  /** "latest" when the user named neither tag nor digest. */
  tag: string | undefined;
  /** Wins over the tag when both are there. */
  digest: Digest | undefined;
}

/** Throws `invalid_argument` with the part that is wrong; `unsupported` for digests other than sha256. */
export function parseReference(original: string): Reference {
  if (original.length > MAX_REFERENCE_CHARS) {
    throw invalid(original, `longer than ${MAX_REFERENCE_CHARS} characters`);
  }
  if (original === "") throw invalid(original, "empty reference");
  if (/^[a-z]+:\/\//i.test(original)) {
    throw invalid(
      original,
      "URLs are not supported",
      `Omit the scheme: "${withoutScheme(original)}"`,
    );
  }
  const { name, tag, digest } = split(original);
  const { registry, repository } = splitRegistry(name);
  checkRegistry(original, registry);
  checkRepository(original, repository);
  if (tag !== undefined && !tagPattern.test(tag)) {
    throw invalid(
      original,
      `invalid tag "${tag}"`,
      'Tags have at most 128 letters, digits, "_", "." and "-", and start with a letter, digit or "_"',
    );
  }
  return {
    original,
    registry,
    repository,
    tag: tag ?? (digest ? undefined : TAG_DEFAULT),
    digest: digest === undefined ? undefined : checkDigest(original, digest),
  };
}

/** "docker.io/library/debian:bookworm", with the digest behind it if there is one. */
export function canonicalName(reference: Reference): string {
  const { registry, repository, tag, digest } = reference;
  return `${registry}/${repository}${tag ? `:${tag}` : ""}${digest ? `@${digest}` : ""}`;
}

/** For text from an archive: "" if it is not a reference. */
export function canonicalOrEmpty(text: string): string {
  try {
    return canonicalName(parseReference(text));
  } catch {
    return "";
  }
}

function split(original: string): {
  name: string;
  tag: string | undefined;
  digest: string | undefined;
} {
  const at = original.indexOf("@");
  const left = at < 0 ? original : original.slice(0, at);
  const digest = at < 0 ? undefined : original.slice(at + 1);
  const colon = left.lastIndexOf(":");
  if (colon <= left.lastIndexOf("/")) return { name: left, tag: undefined, digest };
  return { name: left.slice(0, colon), tag: left.slice(colon + 1), digest };
}

function splitRegistry(name: string): { registry: string; repository: string } {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  if (!/[.:A-Z]/.test(first) && first !== "localhost") return dockerHubName(name);
  const registry = first.toLowerCase();
  const repository = name.slice(slash + 1);
  if (registry === DOCKER_HUB || registry === "index.docker.io") return dockerHubName(repository);
  return { registry, repository };
}

function dockerHubName(path: string): { registry: string; repository: string } {
  return { registry: DOCKER_HUB, repository: path.includes("/") ? path : `library/${path}` };
}

function checkRegistry(original: string, registry: string): void {
  const match = hostPattern.exec(registry);
  const port = match?.[1];
  if (!match || !isOneHost(registry.replace(/:\d+$/, ""))) {
    throw invalid(original, `invalid host name "${registry}"`);
  }
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65535)) {
    throw invalid(original, `invalid port "${port}"`);
  }
}

/** Rejects "1.2.3" and "0x7f.1", which URL parsers read as IPv4 addresses. */
function isOneHost(name: string): boolean {
  const url = `https://${name}/`;
  return URL.canParse(url) && (name.startsWith("[") || new URL(url).hostname === name);
}

function checkRepository(original: string, repository: string): void {
  if (repository.length > MAX_NAME_CHARS) {
    throw invalid(original, `name longer than ${MAX_NAME_CHARS} characters`);
  }
  const wrong = repository.split("/").find((component) => !componentPattern.test(component));
  if (wrong === undefined) return;
  if (wrong === "") throw invalid(original, "empty name component");
  if (componentPattern.test(wrong.toLowerCase())) {
    throw invalid(original, `"${wrong}" must be lower case`, `Write "${wrong.toLowerCase()}"`);
  }
  throw invalid(
    original,
    `invalid name "${wrong}"`,
    'Names have lower-case letters and digits, with ".", "_", "__" or "-" between them',
  );
}

function checkDigest(original: string, digest: string): Digest {
  if (isDigest(digest)) return digest;
  if (/^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-fA-F]{32,}$/.test(digest) && !/^sha256:/.test(digest)) {
    throw new BangerError(
      "unsupported",
      `Cannot use reference "${original}": unsupported digest algorithm, expected sha256`,
    );
  }
  throw invalid(
    original,
    `invalid digest "${digest}"`,
    'A digest is "sha256:" and 64 lower-case hexadecimal digits',
  );
}

function withoutScheme(text: string): string {
  return text.replace(/^[a-z]+:\/\//i, "");
}

function invalid(original: string, why: string, hint?: string): BangerError {
  const shown = original.length > 200 ? `${original.slice(0, 200)}…` : original;
  return new BangerError("invalid_argument", `invalid reference "${shown}": ${why}`, {
    hint: hint ?? 'Use a reference such as "debian:bookworm" or "ghcr.io/owner/name:tag"',
  });
}
