/** Reads the parts of ELF (64-bit, little-endian) that kernels and modules need. */
import { BangerError } from "#base/error.ts";
import type { Arch } from "./manifest.ts";

const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const SECTION_HEADER_BYTES = 64;
const MAX_HEADERS = 10_000;
const PT_NOTE = 4;
/** XEN_ELFNOTE_PHYS32_ENTRY, the "Xen" note with the PVH entry point. */
const NOTE_PVH_ENTRY = 18;

const machines: Record<number, Arch> = { 62: "amd64", 183: "arm64" };

export function isElf(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && view(bytes).getUint32(0, true) === 0x464c457f;
}

/** Validates a 64-bit ELF file and returns its architecture. `what`: "vmlinux". */
export function elfArch(bytes: Uint8Array, what: string): Arch {
  const refuse = (why: string): never => {
    throw new BangerError("integrity", `Cannot use "${what}": ${why}`);
  };
  if (!isElf(bytes) || bytes.length < HEADER_BYTES) refuse("not an ELF file");
  if (bytes[4] !== 2 || bytes[5] !== 1) refuse("it is not for a 64-bit little-endian machine");
  const machine = view(bytes).getUint16(18, true);
  return machines[machine] ?? refuse(`it is for ELF machine ${machine}, not for amd64 or arm64`);
}

/** Whether a kernel has a PVH entry point, which QEMU needs to boot an ELF file. */
export function hasPvhEntry(bytes: Uint8Array): boolean {
  const data = view(bytes);
  if (bytes.length < HEADER_BYTES) return false;
  const start = Number(data.getBigUint64(32, true));
  const count = Math.min(data.getUint16(56, true), MAX_HEADERS);
  for (let index = 0; index < count; index++) {
    const header = start + index * PROGRAM_HEADER_BYTES;
    if (header + PROGRAM_HEADER_BYTES > bytes.length) return false;
    if (data.getUint32(header, true) !== PT_NOTE) continue;
    const offset = Number(data.getBigUint64(header + 8, true));
    const length = Number(data.getBigUint64(header + 32, true));
    if (hasXenNote(bytes.subarray(offset, offset + length))) return true;
  }
  return false;
}

/** The content of a section; undefined if it does not exist. */
export function elfSection(bytes: Uint8Array, wanted: string): Uint8Array | undefined {
  if (!isElf(bytes) || bytes.length < HEADER_BYTES) return undefined;
  const data = view(bytes);
  const start = Number(data.getBigUint64(40, true));
  const count = Math.min(data.getUint16(60, true), MAX_HEADERS);
  if (start + count * SECTION_HEADER_BYTES > bytes.length) return undefined;
  const section = (index: number): Uint8Array => {
    const header = start + index * SECTION_HEADER_BYTES;
    const offset = Number(data.getBigUint64(header + 24, true));
    return bytes.subarray(offset, offset + Number(data.getBigUint64(header + 32, true)));
  };
  const namesIndex = data.getUint16(62, true);
  if (namesIndex >= count) return undefined;
  const names = section(namesIndex);
  for (let index = 0; index < count; index++) {
    const nameAt = data.getUint32(start + index * SECTION_HEADER_BYTES, true);
    if (textAt(names, nameAt) === wanted) return section(index);
  }
  return undefined;
}

function hasXenNote(notes: Uint8Array): boolean {
  const data = view(notes);
  for (let at = 0; at + 12 <= notes.length; ) {
    const nameLength = data.getUint32(at, true);
    const valueLength = data.getUint32(at + 4, true);
    const type = data.getUint32(at + 8, true);
    if (type === NOTE_PVH_ENTRY && textAt(notes, at + 12) === "Xen") return true;
    at += 12 + align4(nameLength) + align4(valueLength);
  }
  return false;
}

/** A NUL-terminated string of at most 100 characters. */
function textAt(bytes: Uint8Array, at: number): string {
  const window = bytes.subarray(at, at + 100);
  const end = window.indexOf(0);
  return new TextDecoder("latin1").decode(window.subarray(0, Math.max(end, 0)));
}

function align4(length: number): number {
  return Math.ceil(length / 4) * 4;
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
