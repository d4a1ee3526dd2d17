/**
 * The state of a snapshot as QEMU reads it: its migration stream. QEMU writes one of devices alone, to which
 * two sections are added that it does without there: the name of the machine, and the memory of the firmware,
 * which keeps the guest's ACPI tables. The guest's own memory is in a file beside it.
 * Source: docs/devel/migration of QEMU.
 */
import { BangerError } from "#base/error.ts";

const MAGIC_VERSION = Buffer.from("QEVM\0\0\0\x03", "latin1");
const MACHINE = "microvm";
const SECTION_START = 0x01;
const CONFIGURATION = 0x07;
const SECTION_FOOTER = 0x7e;
const RAM_VERSION = 4;
/** No other section has it: QEMU counts from 0. */
const RAM_SECTION_ID = 0x7fff_ffff;
const PAGE_BYTES = 4096;
/** In the low bits of what stands before each part of the memory. */
const RAM_SIZES = 0x04;
const RAM_PAGE = 0x08;
const RAM_END = 0x10;

export interface MemoryBlock {
  /** By which QEMU knows it. */
  name: string;
  bytes: Uint8Array;
}

/** `devices`: what "xen-save-devices-state" writes. */
export function stateStream(devices: Uint8Array, firmware: MemoryBlock): Uint8Array {
  if (!MAGIC_VERSION.equals(devices.subarray(0, MAGIC_VERSION.length))) {
    throw new BangerError("internal", "Cannot save the machine: unexpected state from QEMU");
  }
  return Buffer.concat([
    MAGIC_VERSION,
    Uint8Array.of(CONFIGURATION),
    be32(MACHINE.length),
    Buffer.from(MACHINE),
    ...memorySection(firmware),
    devices.subarray(MAGIC_VERSION.length),
  ]);
}

function memorySection({ name, bytes }: MemoryBlock): Uint8Array[] {
  const parts = [
    Uint8Array.of(SECTION_START),
    be32(RAM_SECTION_ID),
    named("ram"),
    be32(0),
    be32(RAM_VERSION),
    be64(bytes.length + RAM_SIZES),
    named(name),
    be64(bytes.length),
  ];
  for (let offset = 0; offset < bytes.length; offset += PAGE_BYTES) {
    parts.push(be64(offset + RAM_PAGE), named(name), bytes.subarray(offset, offset + PAGE_BYTES));
  }
  return [...parts, be64(RAM_END), Uint8Array.of(SECTION_FOOTER), be32(RAM_SECTION_ID)];
}

function named(name: string): Uint8Array {
  return Buffer.concat([Uint8Array.of(name.length), Buffer.from(name)]);
}

function be32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function be64(value: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}
