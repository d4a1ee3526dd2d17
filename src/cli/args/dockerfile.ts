/** Reads the Dockerfile and .dockerignore of `image build`. A build context is untrusted. */
import {
  closeSync,
  constants,
  existsSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  realpathSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { BangerError, errnoOf, messageOf } from "#base/error.ts";
import { readRegularFile } from "#base/files/regular-file.ts";
import { formatSize, MiB } from "#base/size.ts";

const TEXT_MAX_BYTES = MiB;
const SILENT_MAX_MS = 30_000;
const PIPE_WAIT_MS = 20;

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
  return readGivenBytes(path, TEXT_MAX_BYTES).toString("utf8");
}

/** `silent_max_ms`: how long to wait for whoever writes to a named pipe. */
export function readGivenBytes(
  path: string,
  max_bytes: number,
  { silent_max_ms = SILENT_MAX_MS }: { silent_max_ms?: number } = {},
): Buffer {
  const buffer = Buffer.alloc(max_bytes + 1);
  let length = 0;
  try {
    const file = openGiven(path === "-" ? "/dev/stdin" : path);
    try {
      for (let count = -1; count !== 0 && length < buffer.length; length += count) {
        count = readMore(file, buffer.subarray(length), length === 0 ? silent_max_ms : Infinity);
      }
    } finally {
      closeSync(file.fd);
    }
  } catch (error) {
    throw unreadable(path, error);
  }
  if (length <= max_bytes) return buffer.subarray(0, length);
  const max = formatSize(max_bytes);
  throw new BangerError("limit_exceeded", `Cannot read "${path}": larger than ${max}`);
}

interface GivenFile {
  fd: number;
  /** To open it for reading alone would wait for somebody who writes, for as long as that takes. */
  isNamedPipe: boolean;
}

function openGiven(path: string): GivenFile {
  const isPipe = statSync(path).isFIFO();
  const fd = openSync(path, constants.O_RDONLY | (isPipe ? constants.O_NONBLOCK : 0));
  // A pipe of a shell has no path, and its other end is open already.
  const isNamedPipe = isPipe && readlinkSync(`/proc/self/fd/${fd}`).startsWith("/");
  return { fd, isNamedPipe };
}

/** 0 at the end. */
function readMore({ fd, isNamedPipe }: GivenFile, into: Uint8Array, max_ms: number): number {
  for (let waited_ms = 0; ; waited_ms += PIPE_WAIT_MS) {
    try {
      const count = readSync(fd, into, 0, into.length, null);
      // Until somebody has opened it, a named pipe reads as empty.
      if (count > 0 || !isNamedPipe || max_ms === Infinity) return count;
    } catch (error) {
      if (errnoOf(error) !== "EAGAIN") throw error;
    }
    if (isNamedPipe && waited_ms >= max_ms) {
      throw new BangerError("timeout", "nothing is written to this pipe");
    }
    Bun.sleepSync(PIPE_WAIT_MS);
  }
}

function unreadable(path: string, error: unknown): BangerError {
  const code = error instanceof BangerError ? error.code : "not_found";
  return new BangerError(code, `Cannot read "${path}": ${messageOf(error)}`);
}
