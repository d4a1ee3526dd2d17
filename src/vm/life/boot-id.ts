import { readFileSync } from "node:fs";

let cached: string | undefined;

/** The kernel's id of this boot of the computer: what was recorded under another one is gone. */
export function hostBootId(): string {
  cached ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  return cached;
}
