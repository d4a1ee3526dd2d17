/** Shared setup for tests that boot guests. */
import { expect } from "bun:test";
import { runOk } from "#base/run.ts";
import { type Agent, connectAgent } from "#guest/agent.ts";
import { textOf } from "./guest-fixture.ts";
import type { GuestMachine } from "./guest-machine.ts";
import { LIMIT_MS } from "./limit.ts";

/** For a boot, and all that a test does with it, on a busy computer. */
export const BOOT_MS = LIMIT_MS;
/** With the packages that a first run fetches. */
export const PREPARE_MS = 2 * LIMIT_MS;

/** Runs a script that must succeed and be silent on stderr. */
export async function shell(agent: Agent, script: string): Promise<string> {
  const { status, stdout, stderr } = await agent.run(["sh", "-c", script]);
  expect([status, textOf(stderr)]).toEqual([{ code: 0 }, ""]);
  return textOf(stdout);
}

/** Connects; a machine that does not come up shows its console. */
export async function connect(machine: GuestMachine): Promise<Agent> {
  try {
    return await connectAgent(await machine.connect(), { timeout_ms: BOOT_MS });
  } catch (error) {
    throw new Error(`${error}\nThe console:\n${machine.console()}`);
  }
}

/** True if the journal of an ext4 file was put away, so that nothing has to be recovered. */
export async function isClean(disk: string): Promise<boolean> {
  const about = await runOk(["dumpe2fs", "-h", disk]);
  await runOk(["e2fsck", "-fn", disk]);
  return !about.includes("needs_recovery");
}
