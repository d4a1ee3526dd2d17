/**
 * Extracts the modules of an initrd, which is a sequence of cpio archives (newc): optional uncompressed microcode,
 * then the compressed early userspace.
 */
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { throwIfAborted } from "#base/abort.ts";
import { compressionOf } from "#base/compression.ts";
import { filterBytes, unzstd } from "#base/decompress.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { MiB } from "#base/size.ts";

const INITRD_MAX_BYTES = 512 * MiB;
const UNPACKED_MAX_BYTES = 1024 * MiB;
const MEMBERS_MAX = 200_000;
const NAME_MAX_BYTES = 4096;
const HEADER_BYTES = 110;
const REGULAR = 0o100000;
const TYPE_MASK = 0o170000;
const TRAILER = "TRAILER!!!";

/** Of modprobe's files, only the list of built-in modules is needed. */
const WANTED =
  /^(?:\.?\/)?(?:usr\/)?lib\/modules\/([\w.+~-]+\/(?:kernel\/[\w./+-]+\.ko(?:\.(?:xz|zst|gz))?|modules\.builtin))$/;

/**
 * Writes them below `target`, as in /lib/modules; creates no directory if there are none. `integrity` for a corrupt
 * initrd, `limit_exceeded`.
 */
export async function unpackInitrdModules(
  initrd: string,
  options: { target: string; signal?: AbortSignal | undefined },
): Promise<void> {
  const { size } = statSync(initrd);
  if (size > INITRD_MAX_BYTES) {
    throw new BangerError("limit_exceeded", `Cannot read initrd "${initrd}": too large`, {
      hint: "Pass the directory of the kernel's modules too",
    });
  }
  let rest: Uint8Array = readFileSync(initrd);
  while (rest.length > 0) {
    throwIfAborted(options.signal);
    if (rest[0] === 0) rest = rest.subarray(firstNonZero(rest));
    else if (isCpio(rest)) rest = rest.subarray(unpackCpio(rest, initrd, options.target));
    else {
      // A compressed archive extends to the end of the file.
      const bytes = await decompressed(rest, initrd, options.signal);
      for (let at = 0; at < bytes.length && isCpio(bytes.subarray(at)); ) {
        at += unpackCpio(bytes.subarray(at), initrd, options.target);
        at += firstNonZero(bytes.subarray(at));
      }
      return;
    }
  }
}

function firstNonZero(bytes: Uint8Array): number {
  const at = bytes.findIndex((byte) => byte !== 0);
  return at < 0 ? bytes.length : at;
}

function isCpio(bytes: Uint8Array): boolean {
  return /^07070[12]$/.test(textOf(bytes, 0, 6));
}

/** Returns the length of the archive. */
function unpackCpio(bytes: Uint8Array, initrd: string, target: string): number {
  let at = 0;
  for (let count = 0; count < MEMBERS_MAX; count++) {
    const member = memberAt(bytes, at);
    if (!member) break;
    if (member.name === TRAILER) return member.end;
    const path = WANTED.exec(member.name)?.[1];
    const isFile = (member.mode & TYPE_MASK) === REGULAR;
    if (path && isFile && !path.split("/").includes("..")) {
      mkdirSync(dirname(join(target, path)), { recursive: true });
      writeFileSync(join(target, path), member.data);
    }
    at = member.end;
  }
  throw new BangerError("integrity", `Cannot read initrd "${initrd}": corrupt cpio archive`);
}

function memberAt(bytes: Uint8Array, at: number) {
  if (!isCpio(bytes.subarray(at))) return undefined;
  const mode = hexAt(bytes, at + 14);
  const size = hexAt(bytes, at + 54);
  const nameSize = hexAt(bytes, at + 94);
  if (!(nameSize >= 1 && nameSize <= NAME_MAX_BYTES)) return undefined;
  const dataAt = at + align(HEADER_BYTES + nameSize);
  const end = dataAt + align(size);
  // The padding after the last member may be missing.
  if (!(dataAt + size <= bytes.length)) return undefined;
  const name = textOf(bytes, at + HEADER_BYTES, at + HEADER_BYTES + nameSize - 1);
  return { name, mode, data: bytes.subarray(dataAt, dataAt + size), end };
}

function hexAt(bytes: Uint8Array, at: number): number {
  const text = textOf(bytes, at, at + 8);
  return /^[0-9a-fA-F]{8}$/.test(text) ? Number.parseInt(text, 16) : Number.NaN;
}

function textOf(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1", start, end);
}

function align(size: number): number {
  return Math.ceil(size / 4) * 4;
}

async function decompressed(
  bytes: Uint8Array,
  initrd: string,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const kind = compressionOf(bytes);
  const limit = { max_bytes: UNPACKED_MAX_BYTES, signal };
  try {
    if (kind === "gzip") {
      return gunzipSync(bytes, { maxOutputLength: UNPACKED_MAX_BYTES });
    }
    if (kind === "zstd") return await unzstd(bytes, limit);
    if (kind === "xz") return await filterBytes(["xz", "-dc"], bytes, limit);
    if (kind === "lz4") return await filterBytes(["lz4", "-dc"], bytes, limit);
  } catch (cause) {
    throwIfAborted(signal);
    if (cause instanceof BangerError && cause.code === "unsupported") throw cause;
    throw new BangerError(
      "integrity",
      `Cannot read initrd "${initrd}": corrupt compressed data: ${messageOf(cause)}`,
      { cause },
    );
  }
  throw new BangerError(
    "unsupported",
    `Cannot read the modules in initrd "${initrd}": unsupported compression`,
    { hint: "Pass the directory of the kernel's modules too" },
  );
}
