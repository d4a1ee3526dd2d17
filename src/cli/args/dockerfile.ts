/** Reads the Dockerfile and .dockerignore of `image build`. A build context is untrusted. */
import { closeSync, existsSync, lstatSync, openSync, readSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { BangerError, messageOf } from "#base/error.ts";
import { readRegularFile } from "#base/files/regular-file.ts";
import { formatSize, MiB } from "#base/size.ts";

const TEXT_MAX_BYTES = MiB;

/** docker looks for the first two, podman and buildah for the last. */
const DOCKERFILE_NAMES = ["Dockerfile", "dockerfile", "Containerfile"];
const IGNORE_NAMES = [".dockerignore", ".containerignore"];

export interface BuildFiles {
  /** The build context. */
  folder: string | undefined;
  /** The Dockerfile that the command line names. */
  file: string | undefined;
}

export function readDockerfile({ folder, file }: BuildFiles): {
  dockerfile: string;
  ignore?: string;
} {
  const path = file ?? pathOf(folder ?? ".");
  const ownIgnore = `${path}.dockerignore`;
  const ignore = existsSync(ownIgnore) ? ownIgnore : folder && findIn(folder, IGNORE_NAMES);
  return {
    dockerfile: file === undefined ? readOwn(path, folder) : readGiven(file),
    ignore: ignore ? readOwn(ignore, ignore === ownIgnore ? undefined : folder) : undefined,
  };
}

function pathOf(folder: string): string {
  const path = findIn(folder, DOCKERFILE_NAMES);
  if (path !== undefined) return path;
  throw new BangerError("not_found", `Cannot build: no Dockerfile in "${folder}"`, {
    hint: `Pass its path: banger image build -f FILE ${folder}`,
  });
}

/** A link to nothing counts: what it leads to is for the reader to judge. */
function findIn(folder: string, names: string[]): string | undefined {
  const paths = names.map((name) => join(folder, name));
  return paths.find((path) => lstatSync(path, { throwIfNoEntry: false }) !== undefined);
}

/** A file of the build context, which may be someone else's: a regular file, and inside of `folder`. */
function readOwn(path: string, folder: string | undefined): string {
  try {
    const real = realpathSync(path);
    if (folder === undefined || `${real}/`.startsWith(join(realpathSync(folder), "/"))) {
      return readRegularFile(real, { max_bytes: TEXT_MAX_BYTES });
    }
  } catch (error) {
    throw unreadable(path, error);
  }
  throw new BangerError(
    "invalid_argument",
    `Cannot build: "${path}" is a symbolic link that leaves the build context`,
    { hint: `If you trust it, run: banger image build -f ${path} ${folder}` },
  );
}

/** A file that the command line names: a pipe as well, for `-` and `<(…)`. */
export function readGiven(path: string): string {
  const buffer = Buffer.alloc(TEXT_MAX_BYTES + 1);
  let length = 0;
  try {
    const fd = openSync(path === "-" ? "/dev/stdin" : path, "r");
    try {
      for (let count = -1; count !== 0 && length < buffer.length; length += count) {
        count = readSync(fd, buffer, length, buffer.length - length, null);
      }
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw unreadable(path, error);
  }
  if (length <= TEXT_MAX_BYTES) return buffer.toString("utf8", 0, length);
  const max = formatSize(TEXT_MAX_BYTES);
  throw new BangerError("limit_exceeded", `Cannot build: "${path}" is larger than ${max}`);
}

function unreadable(path: string, error: unknown): BangerError {
  const code = error instanceof BangerError ? error.code : "not_found";
  return new BangerError(code, `Cannot read "${path}": ${messageOf(error)}`);
}
