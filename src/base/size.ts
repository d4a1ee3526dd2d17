import { BangerError } from "./error.ts";

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;

const factors: Record<string, number> = { k: KiB, m: MiB, g: GiB, t: 1024 * GiB };

/**
 * Bytes of "512MiB", "2G", "1.5g", "4096". K, M, G and T are powers of 1024,
 * with or without "iB" or "B". A number without a unit counts `bareUnit` bytes.
 */
export function parseSize(text: string, bareUnit = 1): number {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([kmgt])(?:i?b)?|b)?$/i.exec(text.trim());
  const number = Number(match?.[1]);
  const unit = match?.[2]?.toLowerCase();
  const isBare = match !== null && /\d$/.test(text.trim());
  const bytes = number * (unit ? (factors[unit] ?? Number.NaN) : isBare ? bareUnit : 1);
  if (!match || !Number.isSafeInteger(Math.round(bytes))) {
    throw new BangerError("invalid_argument", `invalid size "${text}"`, {
      hint: 'Use a number and a unit, such as "512M" or "2G"',
    });
  }
  return Math.round(bytes);
}

/** "245 MiB", "1.5 GiB", "12 B": three significant digits at the most. */
export function formatSize(bytes: number): string {
  if (bytes < KiB) return `${bytes} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = bytes / KiB;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}
