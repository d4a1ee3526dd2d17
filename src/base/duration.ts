import { BangerError } from "./error.ts";

const factors: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** The longest that setTimeout takes, 24.8 days: it fires at once for anything longer. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** For the delay of a timer, where a user or an image gives it. */
export function timerDelay_ms(ms: number): number {
  return Math.min(ms, TIMER_MAX_MS);
}

/** Milliseconds of "90s", "1h30m", "250ms", "2d". A bare number counts seconds. */
export function parseDuration(text: string): number {
  const trimmed = text.trim().toLowerCase();
  if (/^\d+(\.\d+)?$/.test(trimmed)) return Math.round(Number(trimmed) * 1000);
  const parts = [...trimmed.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)];
  const covered = parts.reduce((length, part) => length + part[0].length, 0);
  if (parts.length === 0 || covered !== trimmed.length) {
    throw new BangerError("invalid_argument", `invalid duration "${text}"`, {
      hint: 'Use a number and a unit, such as "30s" or "1h30m"',
    });
  }
  return Math.round(
    parts.reduce((sum, part) => sum + Number(part[1]) * (factors[part[2] ?? ""] ?? 0), 0),
  );
}

/** "120ms", "4.2s", "3m12s", "2h5m", "3d4h": two units at the most. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)}ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)}s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes}m${Math.floor((ms % 60_000) / 1000)}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours}h${minutes % 60}m`;
  return `${Math.floor(hours / 24)}d${hours % 24}h`;
}
