/** Parses image locations: a registry, a directory or file on this host, or another engine's store. */
import { resolve } from "node:path";
import { BangerError } from "#base/error.ts";
import { canonicalName, parseReference, type Reference } from "./reference.ts";

const MAX_PATH_CHARS = 4096;
const MAX_NAME_CHARS = 1024;

const fileKinds = ["oci", "oci-archive", "docker-archive"] as const;

const engineKinds = ["docker-daemon", "containers-storage"] as const;

export type Location =
  | { kind: "registry"; reference: Reference }
  | {
      kind: (typeof fileKinds)[number];
      /** Absolute. */
      path: string;
      /** Selects one of several images: a tag or reference name; "@N" is the N-th of a docker-archive. */
      name: string | undefined;
    }
  | {
      kind: (typeof engineKinds)[number];
      /** The engine's reference or id of the image. */
      name: string;
    };

export interface LocationOptions {
  /** Base of relative paths. Default: the working directory of this process. */
  cwd?: string | undefined;
}

/**
 * `REFERENCE`, `docker://REFERENCE`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:REF]`,
 * `docker-daemon:REF` or `containers-storage:REF`.
 */
export function parseLocation(text: string, options: LocationOptions = {}): Location {
  const engine = engineKinds.find((candidate) => text.startsWith(`${candidate}:`));
  if (engine) return { kind: engine, name: checkEngineName(text, text.slice(engine.length + 1)) };
  const kind = fileKinds.find((candidate) => text.startsWith(`${candidate}:`));
  if (!kind)
    return { kind: "registry", reference: parseReference(text.replace(/^docker:\/\//, "")) };
  const rest = text.slice(kind.length + 1);
  const colon = rest.indexOf(":");
  const path = colon < 0 ? rest : rest.slice(0, colon);
  const name = colon < 0 ? "" : rest.slice(colon + 1);
  if (path === "" || path.length > MAX_PATH_CHARS || path.includes("\0")) {
    throw new BangerError(
      "invalid_argument",
      `Cannot parse "${text.slice(0, 200)}": invalid path`,
      {
        hint: `Use "${kind}:PATH" or "${kind}:PATH:NAME"`,
      },
    );
  }
  if (name.length > MAX_NAME_CHARS) {
    throw new BangerError(
      "invalid_argument",
      `Cannot parse "${text.slice(0, 200)}…": the name is too long`,
    );
  }
  return { kind, path: resolve(options.cwd ?? ".", path), name: name || undefined };
}

/** Resolves the relative path of "oci:dir:tag" against `folder`; returns any other reference unchanged. */
export function resolveLocation(text: string, folder = "/"): string {
  if (!fileKinds.some((kind) => text.startsWith(`${kind}:`))) return text;
  return formatLocation(parseLocation(text, { cwd: folder }));
}

/** Accepts only an id or a reference, because it becomes an argument of another program. */
function checkEngineName(text: string, name: string): string {
  if (/^(sha256:)?[0-9a-f]{12,64}$/.test(name)) return name;
  if (/^[\w[]/.test(name)) return parseReference(name).original;
  throw new BangerError("invalid_argument", `Cannot parse "${text.slice(0, 200)}": no image name`, {
    hint: 'Use "docker-daemon:NAME:TAG" or "containers-storage:NAME:TAG"',
  });
}

/** The canonical text of a location, for records and messages. */
export function formatLocation(location: Location): string {
  if (location.kind === "registry") return canonicalName(location.reference);
  if (!("path" in location)) return `${location.kind}:${location.name}`;
  return `${location.kind}:${location.path}${location.name ? `:${location.name}` : ""}`;
}
