/**
 * bzImage, the compressed kernel of x86: a setup part, then code that carries the real kernel as
 * a compressed ELF file. Fields of the setup header are those of the kernel's
 * Documentation/arch/x86/boot.rst.
 */
import { gunzipSync } from "node:zlib";
import { BangerError, messageOf } from "#base/error.ts";
import { filterBytes, unzstd } from "#base/filter.ts";
import { MiB } from "#base/size.ts";
import { isElf } from "./elf.ts";

export const MAX_KERNEL_BYTES = 512 * MiB;
/** payload_offset and payload_length are there since this version of the boot protocol. */
const PROTOCOL_MIN = 0x0208;
const HEADER_END = 0x250;

export interface BzImage {
  /** The kernel's release, "6.12.117+deb12-cloud-amd64"; empty if it does not say. */
  version: string;
  /** The compressed kernel. */
  payload: Uint8Array;
}

export function isBzImage(bytes: Uint8Array): boolean {
  return bytes.length > HEADER_END && view(bytes).getUint32(0x202, true) === 0x53726448;
}

/** `integrity` when the header does not fit the file. */
export function parseBzImage(bytes: Uint8Array): BzImage {
  if (!isBzImage(bytes)) throw damaged("it has no setup header");
  const data = view(bytes);
  if (data.getUint16(0x206, true) < PROTOCOL_MIN) throw damaged("its boot protocol is too old");
  const setupSectors = bytes[0x1f1] || 4;
  const start = (setupSectors + 1) * 512 + data.getUint32(0x248, true);
  const length = data.getUint32(0x24c, true);
  if (length < 16 || start + length > bytes.length) throw damaged("its payload is cut off");
  return { version: versionOf(bytes), payload: bytes.subarray(start, start + length) };
}

interface Compression {
  magic: readonly number[];
  unpack: (payload: Uint8Array, signal?: AbortSignal) => Promise<Uint8Array>;
}

/** All but gzip have the unpacked size appended, which their own programs take for rubbish. */
const compressions: readonly Compression[] = [
  {
    magic: [0x1f, 0x8b],
    unpack: async (payload) => gunzipSync(payload, { maxOutputLength: MAX_KERNEL_BYTES }),
  },
  {
    magic: [0x28, 0xb5, 0x2f, 0xfd],
    unpack: (payload, signal) =>
      unzstd(payload.subarray(0, -4), { max_bytes: MAX_KERNEL_BYTES, signal }),
  },
  { magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], unpack: byProgram("xz", "-dc") },
  { magic: [0x02, 0x21, 0x4c, 0x18], unpack: byProgram("lz4", "-dc") },
  { magic: [0x42, 0x5a, 0x68], unpack: byProgram("bzip2", "-dc") },
  { magic: [0x5d, 0x00, 0x00], unpack: byProgram("xz", "--format=lzma", "-dc") },
  { magic: [0x89, 0x4c, 0x5a, 0x4f], unpack: byProgram("lzop", "-dc") },
  { magic: [0x7f, 0x45, 0x4c, 0x46], unpack: async (payload) => payload },
];

/** The ELF file inside. `unsupported` when the program for its compression is not installed. */
export async function unpackBzImage(bytes: Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
  const { payload } = parseBzImage(bytes);
  const compression = compressions.find(({ magic }) =>
    magic.every((byte, index) => payload[index] === byte),
  );
  if (!compression) throw damaged("its payload is compressed in an unknown way");
  const elf = await compression.unpack(payload, signal).catch((cause) => {
    throw cause instanceof BangerError ? cause : damaged(messageOf(cause));
  });
  // A decompressor may take a truncated payload for a whole one; the appended size tells.
  const isWhole =
    isElf(payload) || elf.length === view(payload).getUint32(payload.length - 4, true);
  if (!isElf(elf) || !isWhole) throw damaged("its payload is no whole ELF file");
  return elf;
}

function byProgram(...argv: string[]): Compression["unpack"] {
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
