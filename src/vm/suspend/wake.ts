/** The VMM of a machine that goes on from its memory. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { getLogger } from "@logtape/logtape";
import { throwIfAborted } from "#base/abort.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";
import type { Agent, CallOptions } from "#guest/agent.ts";
import { type BootRecord, encodeBootRecord } from "#guest/boot.ts";
import { syncClock } from "#vm/life/clock.ts";
import type { MachineLink } from "#vm/life/machine-link.ts";
import type { BootSpec, Driver, Machine, Snapshot } from "#vmm/driver.ts";
import { UnusableMemory } from "./unusable.ts";

const log = getLogger(["banger", "vm"]);

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
  writeFileAtomic(identityPath(runtime), encodeBootRecord(record), { isTransient: true });
  // What a guest reads at its boot only: any file does.
  writeFileSync(spec.initrdPath, "none\n", { mode: 0o600 });
  try {
    const machine = await driver.restore?.(spec, memory, signal);
    if (machine) return machine;
  } catch (error) {
    throwIfAborted(signal);
    if (!(error instanceof BangerError) || error.code !== "integrity") throw error;
    throw new UnusableMemory(error.message, { cause: error });
  }
  throw new UnusableMemory(`${driver.title} cannot restore it`);
}

/** The first answer that is waited for, then twice as long each time. */
const ANSWER_MS = 5000;
const TRIES = 4;

/**
 * The agent of a machine that goes on, once it has taken its identity: from then on clock and entropy are those of
 * now, and addresses those that the network has given. `warnings`: what could not be taken, for people. The guest may
 * hear of the end of the connection before only after the new one was made, and drops that then: it is asked again,
 * also where it did not even greet.
 */
export async function identify(
  link: Pick<MachineLink, "agent" | "whileAlive">,
  record: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<{ agent: Agent; warnings: string[] }> {
  for (let tried = 1, timeout_ms = ANSWER_MS; ; tried++, timeout_ms *= 2) {
    let agent: Agent | undefined;
    try {
      agent = await link.agent(signal, { isBooting: true, timeout_ms });
      const warnings = await link.whileAlive(takeIdentity(agent, record, { signal, timeout_ms }));
      return { agent, warnings };
    } catch (error) {
      if (!isLost(error) || signal?.aborted || tried === TRIES) throw error;
      log.warn("asking a machine that goes on again: {message}", { message: messageOf(error) });
      agent?.close();
      await agent?.closed;
    }
  }
}

async function takeIdentity(
  agent: Agent,
  record: Uint8Array,
  options: CallOptions,
): Promise<string[]> {
  try {
    return await agent.assume(record, options);
  } catch (error) {
    if (isLost(error) || options.signal?.aborted || agent.hello.isTemplate) throw error;
    // The agent of an older banger takes an identity once; the one that it has is its own.
    await syncClock(agent);
    return [];
  }
}

function isLost(error: unknown): boolean {
  return error instanceof BangerError && /^(unavailable|timeout)$/.test(error.code);
}

/** What the machine is given as soon as its agent answers. */
export function identityPath(runtime: string): string {
  return join(runtime, "identity");
}
