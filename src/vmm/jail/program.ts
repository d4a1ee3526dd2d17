/** The embedded banger-jail, which jail/main.c describes, and what it can do here. */
import { programInMemory } from "#base/files/memory-program.ts";
import { run } from "#base/run.ts";
import programPath from "../../../build/bin/banger-jail" with { type: "file" };

const PROBE_TIMEOUT_MS = 60_000;

/**
 * namespaces: a root of the program's own with nothing in it but what it needs. landlock: where a user may have none,
 * other paths of the host are refused.
 */
const kinds = ["namespaces", "landlock"] as const;
export type JailKind = (typeof kinds)[number];

let program: number | undefined;
let probed: Promise<JailKind | undefined> | undefined;

/** A descriptor of the program. */
export function jailProgram(): number {
  program ??= programInMemory("banger-jail", programPath);
  return program;
}

/** Undefined where the kernel has neither. */
export function jailKind(): Promise<JailKind | undefined> {
  probed ??= probe();
  return probed;
}

async function probe(): Promise<JailKind | undefined> {
  try {
    const path = `/proc/${process.pid}/fd/${jailProgram()}`;
    const { stdout } = await run([path, "--probe"], { timeout_ms: PROBE_TIMEOUT_MS });
    return kinds.find((kind) => kind === stdout.trim());
  } catch {
    return undefined;
  }
}
