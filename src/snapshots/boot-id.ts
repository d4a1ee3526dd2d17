/**
 * Takes back the boot ID of a saved machine. The kernel makes it up when it is first read, and keeps it in its data:
 * as zeros there, it is made up again, by each machine that is restored.
 */
import { open } from "node:fs/promises";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";

const KERNEL_MAX_BYTES = 256 * MiB;
const ID_BYTES = 16;

export interface ReadBootId {
  id: Buffer;
  /** Where the kernel's data is in the machine's memory. */
  ranges: { start: number; end: number }[];
}

/** `text`: a line with the ID, and /proc/iomem. */
export function parseBootId(text: string): ReadBootId {
  const hex = /^[0-9a-f-]{36}$/m.exec(text)?.[0].replaceAll("-", "") ?? "";
  const lines = text.matchAll(/^ *([0-9a-f]+)-([0-9a-f]+) : Kernel (?:data|bss)$/gm);
  const ranges = [...lines].map(([, start = "", end = ""]) => ({
    start: Number.parseInt(start, 16),
    end: Number.parseInt(end, 16) + 1,
  }));
  const size = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  const isUsable = size <= KERNEL_MAX_BYTES && ranges.every(({ start, end }) => start < end);
  if (hex.length !== 2 * ID_BYTES || !isUsable) {
    throw new BangerError("guest", "invalid boot ID or memory map from the machine");
  }
  return { id: Buffer.from(hex, "hex"), ranges };
}

/** In the file of the memory. Nothing is changed unless it is there exactly once. */
export async function forgetBootId(path: string, { id, ranges }: ReadBootId): Promise<boolean> {
  await using file = await open(path, "r+");
  const places: number[] = [];
  for (const { start, end } of ranges) {
    const bytes = Buffer.alloc(end - start);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, start);
    const read = bytes.subarray(0, bytesRead);
    for (let at = read.indexOf(id); at >= 0; at = read.indexOf(id, at + 1)) places.push(start + at);
  }
  const [place] = places;
  if (place === undefined || places.length > 1) return false;
  await file.write(Buffer.alloc(ID_BYTES), 0, ID_BYTES, place);
  return true;
}
