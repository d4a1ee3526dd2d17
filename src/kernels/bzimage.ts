/**
 * Reads bzImage, the compressed x86 kernel: a setup header, then a decompressor with the kernel as a compressed ELF
 * file. Format: Documentation/arch/x86/boot.rst of the kernel.
 */
import { gunzipSync } from "node:zlib";
import { type Compression, compressionOf } from "#base/compression.ts";
import { filterBytes, unzstd } from "#base/decompress.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { isElf } from "./elf.ts";

export const MAX_KERNEL_BYTES = 512 * MiB;
/** Boot protocol version that introduced payload_offset and payload_length. */
const PROTOCOL_MIN = 0x0208;
const HEADER_END = 0x250;

export interface BzImage {
  /** The kernel release, "6.12.117+deb12-cloud-amd64"; empty if missing. */
  version: string;
  /** The compressed kernel. */
  payload: Uint8Array;
}

export function isBzImage(bytes: Uint8Array): boolean {
  return bytes.length > HEADER_END && view(bytes).getUint32(0x202, true) === 0x53726448;
}

/** `integrity` if header and file do not match. */
export function parseBzImage(bytes: Uint8Array): BzImage {
  if (!isBzImage(bytes)) throw damaged("no setup header");
  const data = view(bytes);
  if (data.getUint16(0x206, true) < PROTOCOL_MIN) throw damaged("boot protocol too old");
  const setupSectors = bytes[0x1f1] || 4;
  const start = (setupSectors + 1) * 512 + data.getUint32(0x248, true);
  const length = data.getUint32(0x24c, true);
  if (length < 16 || start + length > bytes.length) throw damaged("truncated payload");
  return { version: versionOf(bytes), payload: bytes.subarray(start, start + length) };
}

type Unpack = (payload: Uint8Array, signal?: AbortSignal) => Promise<Uint8Array>;

/** Except with gzip, the uncompressed size is appended, which decompressors reject as trailing garbage. */
const unpackers: Readonly<Record<Compression, Unpack>> = {
  gzip: async (payload) => gunzipSync(payload, { maxOutputLength: MAX_KERNEL_BYTES }),
  zstd: (payload, signal) =>
    unzstd(payload.subarray(0, -4), { max_bytes: MAX_KERNEL_BYTES, signal }),
  xz: byProgram("xz", "-dc"),
  lz4: byProgram("lz4", "-dc"),
  bzip2: byProgram("bzip2", "-dc"),
  lzma: byProgram("xz", "--format=lzma", "-dc"),
  lzop: byProgram("lzop", "-dc"),
};

/** Decompresses the ELF file. `unsupported` if the program for its compression is not installed. */
export async function unpackBzImage(bytes: Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
  const { payload } = parseBzImage(bytes);
  const kind = compressionOf(payload);
  if (!kind && !isElf(payload)) throw damaged("unsupported payload compression");
  const unpack: Unpack = kind ? unpackers[kind] : async () => payload;
  const elf = await unpack(payload, signal).catch((cause) => {
    throw cause instanceof BangerError ? cause : damaged(messageOf(cause));
  });
  // A decompressor may accept a truncated payload; compare with the appended size.
  const isWhole =
    isElf(payload) || elf.length === view(payload).getUint32(payload.length - 4, true);
  if (!isElf(elf) || !isWhole) throw damaged("payload is not a complete ELF file");
  return elf;
}

function byProgram(...argv: string[]): Unpack {
  return (payload, signal) =>
    filterBytes(argv, payload.subarray(0, -4), { max_bytes: MAX_KERNEL_BYTES, signal });
}

function versionOf(bytes: Uint8Array): string {
  const at = view(bytes).getUint16(0x20e, true) + 0x200;
  const text = new TextDecoder("latin1").decode(bytes.subarray(at, at + 200));
  return /^[\w.+~-]+/.exec(text)?.[0] ?? "";
}

function damaged(why: string): BangerError {
  return new BangerError("integrity", `Cannot unpack the kernel image: ${why}`);
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
