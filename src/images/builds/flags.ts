/** Flags of instructions. */
import { BangerError } from "#base/error.ts";
import type { Instruction } from "./dockerfile.ts";

/** `unsupported` for a flag that is not in `known`, or has none of the values there. */
export function refuseFlags(
  { flags, keyword }: Instruction,
  known: Readonly<Record<string, readonly string[] | undefined>>,
): void {
  for (const [name, value] of flags) {
    const isKnown = Object.hasOwn(known, name) && (known[name]?.includes(value) ?? true);
    if (isKnown) continue;
    const hint =
      name === "mount" ? "Without the mount, the step does the same work, only slower" : undefined;
    throw new BangerError("unsupported", `${keyword} --${name}=${value} is not known`, { hint });
  }
}
