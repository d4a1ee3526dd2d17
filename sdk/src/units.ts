/** Sizes and durations as callers give them. */
import { parseDuration } from "#base/duration.ts";
import { MiB, parseSize } from "#base/size.ts";

/** Bytes; undefined stays undefined. */
export function bytesOf(size: number | string | undefined): number | undefined {
  return typeof size === "string" ? parseSize(size) : size;
}

/** Whole MiB, rounded up. */
export function mebibytesOf(size: number | string | undefined): number | undefined {
  const bytes = bytesOf(size);
  return bytes === undefined ? undefined : Math.ceil(bytes / MiB);
}

/** Milliseconds; a number is in milliseconds already. */
export function millisecondsOf(duration: number | string | undefined): number | undefined {
  return typeof duration === "string" ? parseDuration(duration) : duration;
}
