/** The VMM of a machine that goes on from its memory. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { throwIfAborted } from "#base/abort.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";
import type { Agent } from "#guest/agent.ts";
import { type BootRecord, encodeBootRecord } from "#guest/boot.ts";
import { syncClock } from "#vm/life/clock.ts";
import type { BootSpec, Driver, Machine, Snapshot } from "#vmm/driver.ts";
import { UnusableMemory } from "./unusable.ts";

/** From what its suspension has left. It waits for its identity then, since clock and entropy are of that time. */
export async function wake(
  driver: Driver,
  { spec, record }: { spec: BootSpec; record: BootRecord },
  {
    runtime,
    memory,
    signal,
  }: { runtime: string; memory: Snapshot; signal?: AbortSignal | undefined },
): Promise<Machine> {
  writeFileAtomic(identityPath(runtime), encodeBootRecord(record));
  // What a guest reads at its boot only: any file does.
  writeFileSync(spec.initrdPath, "none\n", { mode: 0o600 });
  try {
    const machine = await driver.restore?.(spec, memory, signal);
    if (machine) return machine;
  } catch (error) {
    throwIfAborted(signal);
    throw new UnusableMemory(messageOf(error), { cause: error });
  }
  throw new UnusableMemory(`${driver.title} cannot restore it`);
}

/**
 * From here on clock and entropy are those of now, and addresses those that the network has given. Returns what could
 * not be taken, for people.
 */
export async function takeIdentity(
  agent: Agent,
  record: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  try {
    return await agent.assume(record, { signal });
  } catch (error) {
    const isLost =
      error instanceof BangerError && /^(unavailable|timeout|cancelled)$/.test(error.code);
    if (isLost || agent.hello.isTemplate) throw error;
    // The agent of an older banger takes an identity once; the one that it has is its own.
    await syncClock(agent);
    return [];
  }
}

/** What the machine is given as soon as its agent answers. */
export function identityPath(runtime: string): string {
  return join(runtime, "identity");
}
