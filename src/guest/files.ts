/** Files of the machine: small requests, and trees as tar archives in both directions. */
import type { Readable, Writable } from "node:stream";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import type { Connection } from "./connection.ts";
import { Fields } from "./fields.ts";
import {
  callProgram,
  openProgram,
  type ProgramOptions,
  programInput,
  programOutput,
} from "./program.ts";
import { Tag } from "./protocol.ts";

const FEATURE = "files";
/** Also of archives of several paths. */
const TREE = "tree";
const MAX_STAT_BYTES = 16 * 1024;
const MAX_LIST_BYTES = 32 * MiB;
const MAX_LIST_ENTRIES = 100_000;
const MAX_NAME_BYTES = 255;
const MAX_PATH_BYTES = 4096;
const READ_MAX_DEFAULT_BYTES = 64 * MiB;
const NS_RANGE = 2n ** 63n;

export type FileKind =
  | "file"
  | "directory"
  | "symlink"
  | "fifo"
  | "socket"
  | "character"
  | "block"
  | "unknown";

export interface FileInfo {
  kind: FileKind;
  /** Permission, setuid, setgid and sticky bits. */
  mode: number;
  size_bytes: number;
  uid: number;
  gid: number;
  links: number;
  mtime_unix_ns: bigint;
  /** Of a symlink. */
  target?: string;
}

export interface DirectoryEntry extends FileInfo {
  name: string;
}

export interface TarSink {
  /** Takes the archive; ends with the guest's error when the extraction fails. */
  readonly writable: Writable;
  /** Resolves when everything is extracted. */
  readonly finished: Promise<{ entries: number }>;
}

export interface FileSink {
  /** Takes the contents; ends with the guest's error. */
  readonly writable: Writable;
  /** Resolves when the file has taken its place. */
  readonly finished: Promise<void>;
}

export interface GuestFiles {
  /** A last symlink is not followed. Fails with `not_found`. */
  stat(path: string, options?: ProgramOptions): Promise<FileInfo>;
  /** In no order; at most 100,000 entries. */
  list(path: string, options?: ProgramOptions): Promise<DirectoryEntry[]>;
  /** The file, or a part of it. More than `max_bytes` (default 64 MiB) is `limit_exceeded`. */
  readFile(
    path: string,
    options?: ProgramOptions & { offset?: number; length_bytes?: number; max_bytes?: number },
  ): Promise<Uint8Array>;
  /** The same as it comes. */
  readStream(
    path: string,
    options?: ProgramOptions & { offset?: number; length_bytes?: number },
  ): Promise<Readable>;
  /** Takes the place of a file that is there when it is whole; `mode` is by default that of the old one, or 0644. */
  writeFile(
    path: string,
    data: Uint8Array,
    options?: ProgramOptions & { mode?: number },
  ): Promise<void>;
  /** The same as it comes. */
  writeStream(path: string, options?: ProgramOptions & { mode?: number }): Promise<FileSink>;
  mkdir(
    path: string,
    options?: ProgramOptions & { mode?: number; parents?: boolean },
  ): Promise<void>;
  /** A folder that is not empty only if `recursive`. Never follows a symlink. */
  remove(path: string, options?: ProgramOptions & { recursive?: boolean }): Promise<void>;
  /**
   * The tree at `path` as a PAX archive. Its entries are named `name`, `name/…`; the default is the
   * last part of the path. The archive is the guest's: whoever reads it takes it for hostile.
   */
  readTar(path: string, options?: ProgramOptions & { name?: string }): Promise<Readable>;
  /**
   * Files and symlinks of the directory `path` in one archive, under their own names. Those that do not exist are
   * left out.
   */
  readTarOf(path: string, names: readonly string[], options?: ProgramOptions): Promise<Readable>;
  /** Records of a directory and everything below it, in the format of guest/files/tarout.h. Hostile, like an archive. */
  readTree(path: string, options?: ProgramOptions): Promise<Readable>;
  /**
   * Extracts an archive below the folder `path`, which is made if it is missing, and never outside of
   * it. `owner`: "keep" (the default) those of the archive, "self" the user that extracts.
   */
  writeTar(path: string, options?: ProgramOptions & { owner?: "keep" | "self" }): Promise<TarSink>;
}

export function guestFiles(connection: Connection): GuestFiles {
  const call = (argv: string[], options: ProgramOptions | undefined, outputMax_bytes: number) =>
    callProgram(connection, argv, { ...options, feature: FEATURE, outputMax_bytes });
  return {
    async stat(path, options) {
      return decodeInfo(Fields.parse(await call(["stat", checked(path)], options, MAX_STAT_BYTES)));
    },
    async list(path, options) {
      const answer = await call(["list", checked(path)], options, MAX_LIST_BYTES);
      return Fields.parse(answer, MAX_LIST_ENTRIES).list(Tag.entry).map(decodeEntry);
    },
    readFile(path, options) {
      const max_bytes = options?.max_bytes ?? READ_MAX_DEFAULT_BYTES;
      return call(readArguments(path, options), options, max_bytes);
    },
    async readStream(path, options) {
      const argv = readArguments(path, options);
      return programOutput(await openProgram(connection, argv, { ...options, feature: FEATURE }));
    },
    async writeFile(path, data, options) {
      const argv = ["write", checked(path), octal(options?.mode)];
      const rest = { feature: FEATURE, outputMax_bytes: 0, input: data };
      await callProgram(connection, argv, { ...options, ...rest });
    },
    async writeStream(path, options) {
      const argv = ["write", checked(path), octal(options?.mode)];
      const rest = { feature: FEATURE, stdin: true };
      const program = await openProgram(connection, argv, { ...options, ...rest });
      program.finished.catch(() => {});
      return { writable: programInput(program), finished: program.finished };
    },
    async mkdir(path, options) {
      const parents = options?.parents ? "parents" : "";
      await call(["mkdir", checked(path), octal(options?.mode), parents], options, 0);
    },
    async remove(path, options) {
      await call(["remove", checked(path), options?.recursive ? "recursive" : ""], options, 0);
    },
    async readTar(path, options) {
      const argv = ["tar-out", checked(path), checked(options?.name ?? lastPart(path))];
      return programOutput(await openProgram(connection, argv, { ...options, feature: FEATURE }));
    },
    async readTarOf(path, names, options) {
      const pairs = names.flatMap((name) => [checked(`${path}/${name}`), checked(name)]);
      // A single pair would have to exist; a repeated one is a second, equal entry.
      const argv = ["tar-out", ...pairs, ...(names.length === 1 ? pairs : [])];
      return programOutput(await openProgram(connection, argv, { ...options, feature: TREE }));
    },
    async readTree(path, options) {
      const argv = ["tree", checked(`${path}/.`)];
      return programOutput(await openProgram(connection, argv, { ...options, feature: TREE }));
    },
    async writeTar(path, options) {
      const argv = ["tar-in", checked(path), options?.owner === "self" ? "self" : ""];
      const program = await openProgram(connection, argv, {
        ...options,
        feature: FEATURE,
        stdin: true,
      });
      const answer: Uint8Array[] = [];
      program.exec.onStdout((chunk) => {
        if (answer.length < MAX_ANSWER_CHUNKS) answer.push(chunk);
      });
      const finished = program.finished.then(() => ({
        entries: Fields.parse(Buffer.concat(answer)).number(Tag.count) ?? 0,
      }));
      finished.catch(() => {});
      return { writable: programInput(program), finished };
    },
  };
}

/** The count is one field, and more is not granted. */
const MAX_ANSWER_CHUNKS = 16;

function readArguments(
  path: string,
  options: { offset?: number; length_bytes?: number } | undefined,
): string[] {
  const length = options?.length_bytes;
  return [
    "read",
    checked(path),
    String(options?.offset ?? 0),
    length === undefined ? "" : String(length),
  ];
}

function octal(mode: number | undefined): string {
  return mode === undefined ? "" : (mode & 0o7777).toString(8);
}

/** "a/b/" is "b"; what ends in nothing or dots names no thing and is ".". */
function lastPart(path: string): string {
  const part = path.replace(/\/+$/, "").split("/").at(-1) ?? "";
  return part === "" || part === ".." ? "." : part;
}

function checked(path: string): string {
  if (path !== "" && !path.includes("\0") && Buffer.byteLength(path) < MAX_PATH_BYTES) return path;
  throw new BangerError(
    "invalid_argument",
    `invalid guest path "${path.slice(0, 60)}": empty, too long or with a NUL byte`,
  );
}

const kinds: Readonly<Record<number, FileKind>> = {
  1: "fifo",
  2: "character",
  4: "directory",
  6: "block",
  8: "file",
  10: "symlink",
  12: "socket",
};

function decodeInfo(fields: Fields): FileInfo {
  const mode = fields.number(Tag.fileMode) ?? 0;
  const target = fields.text(Tag.fileTarget, MAX_PATH_BYTES);
  const time = fields.big(Tag.time_ns) ?? 0n;
  return {
    kind: kinds[(mode >> 12) & 0xf] ?? "unknown",
    mode: mode & 0o7777,
    size_bytes: fields.number(Tag.fileSize_bytes) ?? 0,
    uid: fields.number(Tag.fileUid) ?? 0,
    gid: fields.number(Tag.fileGid) ?? 0,
    links: fields.number(Tag.fileLinks) ?? 0,
    mtime_unix_ns: time < NS_RANGE ? time : time - 2n * NS_RANGE,
    target,
  };
}

function decodeEntry(bytes: Uint8Array): DirectoryEntry {
  const fields = Fields.parse(bytes);
  const name = fields.text(Tag.fileName, MAX_NAME_BYTES) ?? "";
  // Clients join names to paths, and a name is one part of a path.
  if (/^\.{0,2}$|\//.test(name)) {
    throw new BangerError("guest", "protocol error from the guest agent: invalid file name");
  }
  return { name, ...decodeInfo(fields) };
}
