/** Volumes and the workspace of a new machine: from the form, and as words of the command line. */
import type { VolumeMount } from "#api/mount/mount.ts";
import { bytesWord, parseBytes } from "#web/parts/format.ts";

/** As typed. */
export interface VolumeRow {
  name: string;
  path: string;
  /** Of a new one. */
  size: string;
  readOnly: boolean;
}

export const NO_VOLUME: VolumeRow = { name: "", path: "", size: "", readOnly: false };
export const VOLUMES_MAX = 8;

/** A volume that is created before the machine, since a mount has no size. */
export interface NewVolume {
  name: string;
  size_bytes: number;
}

export interface Workspace {
  /** On the host. */
  source: string;
  /** In the machine. */
  path?: string;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
/** A colon is between the fields of a mount. */
const MOUNT_PATH = /^\/[^:\0]*[^/:\0][^:\0]*$/;
const WORKSPACE_PATH = "/workspace";

interface Volumes {
  mounts: VolumeMount[];
  created: NewVolume[];
  problem: string | undefined;
}

/** `known`: names of the volumes that exist; their size is what it is. */
export function volumesOf(rows: readonly VolumeRow[], known: readonly string[]): Volumes {
  const found: Volumes = { mounts: [], created: [], problem: undefined };
  const paths = new Set<string>();
  for (const row of rows) {
    const name = row.name.trim();
    const path = row.path.trim();
    if (name === "" && path === "") continue;
    const problem = paths.has(path) ? `two volumes at ${path}` : problemOf(name, path);
    found.problem ??= problem;
    paths.add(path);
    found.mounts.push({ volume: name, path, ...(row.readOnly ? { readOnly: true } : {}) });
    const size = row.size.trim();
    const isCreated = found.created.some((each) => each.name === name);
    if (size === "" || known.includes(name) || isCreated) continue;
    const size_bytes = parseBytes(size, "G");
    if (size_bytes === undefined) found.problem ??= `size of ${name}: such as 10G`;
    else found.created.push({ name, size_bytes });
  }
  return found;
}

function problemOf(name: string, path: string): string | undefined {
  if (!NAME.test(name)) return `name of the volume at ${path}: letters, digits, dots and dashes`;
  if (!MOUNT_PATH.test(path)) return `path of ${name}: absolute, below /, without a colon`;
  return undefined;
}

export function volumeWords({ volume, path, readOnly }: VolumeMount): string[] {
  return ["-v", `${volume}:${path}${readOnly ? ":ro" : ""}`];
}

export function newVolumeWords({ name, size_bytes }: NewVolume): string[] {
  return ["volume", "create", name, "--size", bytesWord(size_bytes)];
}

/** `problem`: of which field. */
export function workspaceOf(
  sourceText: string,
  pathText: string,
): { workspace?: Workspace; problem?: "source" | "path" } {
  const source = sourceText.trim();
  const path = pathText.trim();
  if (source === "") return {};
  if (!/^\/[^\0]*$/.test(source)) return { problem: "source" };
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  const isPath = path.startsWith("/") && parts.length > 0 && !parts.includes("..");
  if (path !== "" && (!isPath || path.includes(":/"))) return { problem: "path" };
  return { workspace: { source, ...(path === "" ? {} : { path }) } };
}

export function workspaceWords({ source, path }: Workspace): string[] {
  // Of the command line's own, a colon before a slash begins the path in the machine.
  const guest = path ?? (source.includes(":/") ? WORKSPACE_PATH : undefined);
  return ["--workspace", guest === undefined ? source : `${source}:${guest}`];
}
