/** Parses flags with numeric values. */
import { parseDuration } from "#base/duration.ts";
import { BangerError } from "#base/error.ts";
import { GiB, MiB, parseSize } from "#base/size.ts";

/** Whole MiB of "512M", "2G" or "512". */
export function memoryArg(text: string): number {
  return Math.round(parseSize(text, MiB) / MiB);
}

/** Bytes of "10G", "512M" or "10", which counts GiB. */
export function diskArg(text: string): number {
  return parseSize(text, GiB);
}

export function durationArg(text: string): number {
  return parseDuration(text);
}

/** 0 for "never". */
export function durationOrNeverArg(text: string): number {
  return text === "never" ? 0 : parseDuration(text);
}

export function countArg(text: string): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(count)) return count;
  throw new BangerError("invalid_argument", `invalid number "${text}"`, {
    hint: "Use a whole number",
  });
}

/** 0 for "none". */
export function countOrNoneArg(text: string): number {
  return text === "none" ? 0 : countArg(text);
}

export function textArg(text: string): string {
  return text;
}

/** Bytes of "4K", "1M" or "512". */
export function sizeArg(text: string): number {
  return parseSize(text);
}

/** "SIZE" for both directions, or "IN:OUT"; each may be "none". */
export function bandwidthArg(text: string): { in: number; out: number } {
  const [inward = "", outward = inward, ...more] = text.split(":");
  if (inward && outward && more.length === 0) {
    return { in: sizeOrNoneArg(inward), out: sizeOrNoneArg(outward) };
  }
  throw new BangerError("invalid_argument", `invalid bandwidth "${text}"`, {
    hint: 'Use a size for both directions, such as "10M", or IN:OUT, such as "10M:2M"',
  });
}

/** 0 for "none". */
export function sizeOrNoneArg(text: string): number {
  return text === "none" ? 0 : parseSize(text);
}
