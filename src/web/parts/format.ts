/** Numbers and times as the pages show them. */
const KIB = 1024;
const UNITS = ["B", "K", "M", "G", "T"];
const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** "0B", "512M", "1.5G". */
export function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= KIB && unit < UNITS.length - 1) {
    value /= KIB;
    unit++;
  }
  const text = value >= 10 || unit === 0 ? String(Math.round(value)) : value.toFixed(1);
  return `${text.replace(/\.0$/, "")}${UNITS[unit]}`;
}

export function rate(bytes: number): string {
  return `${size(bytes)}/s`;
}

/** "1.4%", "230%". */
export function percent(part: number): string {
  const value = part * 100;
  return `${value >= 10 || value === 0 ? Math.round(value) : value.toFixed(1)}%`;
}

/** "3s", "5m", "2h", "4d". */
export function duration(ms: number): string {
  if (ms < MINUTE_MS) return `${Math.max(0, Math.floor(ms / SECOND_MS))}s`;
  if (ms < HOUR_MS) return `${Math.floor(ms / MINUTE_MS)}m`;
  if (ms < 2 * DAY_MS) return `${Math.floor(ms / HOUR_MS)}h`;
  return `${Math.floor(ms / DAY_MS)}d`;
}

/** "0.4 s", "12.3 s", "1:05". */
export function stopwatch(ms: number): string {
  if (ms < MINUTE_MS) return `${(ms / SECOND_MS).toFixed(1)} s`;
  const seconds = Math.floor(ms / SECOND_MS);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

export function ago(iso: string | undefined, now_ms = Date.now()): string {
  return iso === undefined ? "" : duration(now_ms - Date.parse(iso));
}

/** As ls has it: "rwxr-xr-x". */
export function permissions(mode: number): string {
  return [6, 3, 0]
    .map((shift) => {
      const bits = mode >> shift;
      return `${bits & 4 ? "r" : "-"}${bits & 2 ? "w" : "-"}${bits & 1 ? "x" : "-"}`;
    })
    .join("");
}

/** For a shell, quoted only where it must be. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** "512M", "2G"; bytes as such where it is no whole number of these. */
export function bytesWord(bytes: number): string {
  for (const unit of ["G", "M"]) {
    const factor = KIB ** UNITS.indexOf(unit);
    if (bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return `${bytes}B`;
}

/**
 * Bytes of "512M", "2G", "10", "4096B", as the command line reads them; undefined for what is none. `unit`: of a number
 * without one.
 */
export function parseBytes(text: string, unit: "M" | "G"): number | undefined {
  const [, digits, suffix] = /^\s*(\d+(?:\.\d+)?)\s*(?:([KMGT])(?:i?B)?|b)?\s*$/i.exec(text) ?? [];
  if (digits === undefined) return undefined;
  const isBytes = suffix === undefined && /b\s*$/i.test(text);
  const factor = KIB ** UNITS.indexOf((suffix ?? (isBytes ? "B" : unit)).toUpperCase());
  const bytes = Math.round(Number(digits) * factor);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
