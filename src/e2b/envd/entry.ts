/** Files as E2B's filesystem service shows them. */
import { posix } from "node:path";
import type { FileInfo } from "#api/file.ts";

const types: Partial<Record<FileInfo["kind"], string>> = {
  file: "FILE_TYPE_FILE",
  directory: "FILE_TYPE_DIRECTORY",
  symlink: "FILE_TYPE_SYMLINK",
};

/** First letters of modes as Go writes them. */
const letters: Record<FileInfo["kind"], string> = {
  file: "-",
  directory: "d",
  symlink: "L",
  fifo: "p",
  socket: "S",
  character: "Dc",
  block: "D",
  unknown: "?",
};

export interface Names {
  user(uid: number): string;
  group(gid: number): string;
}

export function entryOf(path: string, info: FileInfo, names: Names) {
  return {
    name: posix.basename(path) || "/",
    type: types[info.kind] ?? "FILE_TYPE_UNSPECIFIED",
    path,
    size: String(info.size_bytes),
    mode: info.mode & 0o777,
    permissions: permissionsOf(info),
    owner: names.user(info.uid),
    group: names.group(info.gid),
    modifiedTime: info.modifiedAt,
    ...(info.target === undefined
      ? {}
      : { symlinkTarget: posix.resolve(posix.dirname(path), info.target) }),
  };
}

/** "drwxr-xr-x". */
export function permissionsOf({ kind, mode }: Pick<FileInfo, "kind" | "mode">): string {
  const special = `${mode & 0o4000 ? "u" : ""}${mode & 0o2000 ? "g" : ""}${mode & 0o1000 ? "t" : ""}`;
  const bits = [..."rwxrwxrwx"].map((letter, index) => (mode & (0o400 >> index) ? letter : "-"));
  const type = kind === "file" && special ? "" : letters[kind];
  return `${kind === "directory" && special ? `d${special}` : `${type}${special}`}${bits.join("")}`;
}
