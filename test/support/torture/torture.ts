/**
 * Kills the daemon, or interrupts the client, at random moments of every operation, starts another daemon, and checks
 * that nothing was lost or left: records against the host, and machines by asking them.
 */
import { join } from "node:path";
import type { Vm } from "#api/vm.ts";
import { busyboxLayout } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { giveKernel, KERNEL } from "#test/pulled-kernel.ts";
import { daemonPid, inspect, settledRecords } from "./inventory.ts";
import { IMAGE, type Operation, operations, STEADY, tidyUp } from "./operations.ts";

/** A client whose daemon is killed must say so and end. */
const CLIENT_TIMEOUT_MS = LIMIT_MS;
/** 128 + SIGINT. */
const INTERRUPTED = 130;
/** A little past its end, so that the moments right after it are among the chosen. */
const LATEST = 1.1;

export interface Tally {
  operation: string;
  kills: number;
  /** Rounds after which it was found done, or undone. */
  done: number;
  undone: number;
  /** Killed only after the client had its answer. */
  late: number;
  failures: string[];
}

export interface TortureOptions {
  kills: number;
  /** The same seed chooses the same operations and moments. */
  seed: number;
  /** Who is ended in each round in turn: the daemon by SIGKILL (the default), the client by SIGINT, as with ^C. */
  victims?: readonly Victim[];
  onRound?: (text: string) => void;
}

type Victim = "daemon" | "client";

export async function torture({
  kills,
  seed,
  victims = ["daemon"],
  onRound,
}: TortureOptions): Promise<Tally[]> {
  const random = generator(seed);
  await using banger = install();
  await prepare(banger);
  const all = operations(process.getuid?.() === 0 ? "nat" : "none");
  const tallies = all.map(
    ({ name }): Tally => ({
      operation: name,
      kills: 0,
      done: 0,
      undone: 0,
      late: 0,
      failures: [],
    }),
  );
  const usual_ms: number[] = [];
  for (let round = 0; round < kills; round++) {
    // Each in its turn first, so that a short run meets as many as it can.
    const index = round < all.length ? round : Math.floor(random() * all.length);
    const operation = all[index];
    const tally = tallies[index];
    const victim = victims[round % victims.length];
    if (!operation || !tally || !victim) break;
    usual_ms[index] ??= await timeOf(banger, operation, `t${index}`);
    const after_ms = random() * LATEST * usual_ms[index];
    const result = await killDuring(banger, operation, {
      name: `r${round}`,
      after_ms,
      victim,
    });
    tally.kills++;
    if (result.outcome) tally[result.outcome]++;
    if (result.isLate) tally.late++;
    const where = `round ${round}, ${victim} ended after ${after_ms.toFixed(0)} ms`;
    tally.failures.push(...result.failures.map((failure) => `${where}: ${failure}`));
    const said = result.failures.join("; ") || result.outcome;
    onRound?.(`${where} of ${operation.name}: ${said}`);
  }
  return tallies.filter((tally) => tally.kills > 0);
}

export async function prepare(banger: Installation): Promise<void> {
  await busyboxLayout(join(banger.home, "layout"));
  await giveKernel(banger);
  const source = `oci:${banger.home}/layout`;
  await banger.ok("image", "pull", source, "--name", IMAGE, "--kernel-ref", KERNEL);
  const machine = ["--name", STEADY, "--image", IMAGE, "--mode", "direct", "--memory", "256M"];
  await banger.ok("vm", "create", ...machine, "--net", "none");
}

/** How long it takes when nobody disturbs it. */
export async function timeOf(
  banger: Installation,
  operation: Operation,
  name: string,
): Promise<number> {
  await operation.prepare?.(banger, name);
  const start_ms = performance.now();
  await banger.ok(...operation.args(banger, name));
  const elapsed_ms = performance.now() - start_ms;
  await tidyUp(banger, await settledRecords(banger), name);
  return elapsed_ms;
}

interface RoundResult {
  outcome: "done" | "undone" | undefined;
  isLate: boolean;
  failures: string[];
}

async function killDuring(
  banger: Installation,
  operation: Operation,
  { name, after_ms, victim }: { name: string; after_ms: number; victim: Victim },
): Promise<RoundResult> {
  await operation.prepare?.(banger, name);
  const pid = daemonPid(banger);
  const interrupt = new AbortController();
  const call = banger.call(operation.args(banger, name), {
    timeout_ms: CLIENT_TIMEOUT_MS,
    interrupt: interrupt.signal,
  });
  await Bun.sleep(after_ms);
  const isLate = (await Promise.race([call, Bun.sleep(0)])) !== undefined;
  if (victim === "daemon") process.kill(pid, "SIGKILL");
  else interrupt.abort();
  const failures: string[] = [];
  const { status, stderr } = await call.catch((error) => ({ status: -1, stderr: String(error) }));
  if (status < 0) failures.push(`the client hangs: ${stderr}`);
  if (victim === "client" && status !== 0 && status !== INTERRUPTED) {
    failures.push(`the client ends with ${status}: ${stderr}`);
  }
  const first = await inspect(banger);
  failures.push(...first.contradictions);
  for (const vm of first.records.machines.filter(({ state }) => state === "running")) {
    const answer = await banger.call(["vm", "exec", vm.name, "--", "echo", "alive"]);
    if (answer.stdout === "alive\n") continue;
    // A guest that was asked to power off does so, although the stop was called off meanwhile.
    const { state } = await banger.json<Vm>("vm", "show", vm.name);
    if (state === "running") failures.push(`${vm.name} does not answer: ${answer.stderr}`);
  }
  const records = await settledRecords(banger);
  const outcome = operation.outcome(records, name);
  if (!outcome) {
    const found = records.machines.find((vm) => vm.name === name);
    failures.push(`neither done nor undone: ${JSON.stringify(found)}`);
  }
  if (status === 0 && outcome === "undone") failures.push("the client was told that it is done");
  if (!records.machines.some((vm) => vm.name === STEADY && vm.state === "running")) {
    failures.push("the machine that was not touched does not run");
  }
  await tidyUp(banger, records, name);
  failures.push(...(await inspect(banger)).contradictions);
  return { outcome, isLate, failures };
}

/** Mulberry32: small, and the same everywhere. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
