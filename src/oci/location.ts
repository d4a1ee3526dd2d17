/** Where an image comes from: a registry, or a folder or file on this host. */
import { resolve } from "node:path";
import { BangerError } from "#base/error.ts";
import { canonicalName, parseReference, type Reference } from "./reference.ts";

const MAX_PATH_CHARS = 4096;
const MAX_NAME_CHARS = 1024;

const fileKinds = ["oci", "oci-archive", "docker-archive"] as const;

export type Location =
  | { kind: "registry"; reference: Reference }
  | {
      kind: (typeof fileKinds)[number];
      /** Absolute. */
      path: string;
      /** Which image of several: a tag or reference name; "@N" is the N-th of a docker-archive. */
      name: string | undefined;
    };

export interface LocationOptions {
  /** Where relative paths start. Default: the working folder of this process. */
  cwd?: string | undefined;
}

/** `REFERENCE`, `docker://REFERENCE`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker-archive:FILE[:REF]`. */
export function parseLocation(text: string, options: LocationOptions = {}): Location {
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
      `Cannot parse "${text.slice(0, 200)}": the path is not usable`,
      {
        hint: `Write it as "${kind}:PATH" or "${kind}:PATH:NAME"`,
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

/** The one way to write a location, for records and messages. */
export function formatLocation(location: Location): string {
  if (location.kind === "registry") return canonicalName(location.reference);
  return `${location.kind}:${location.path}${location.name ? `:${location.name}` : ""}`;
}
