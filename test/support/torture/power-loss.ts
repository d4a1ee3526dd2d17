/**
 * Simulates power loss at random moments: stops all processes of an installation, copies its state, and starts
 * another banger from the copy. Writes that the kernel had not flushed are not lost this way; fsync covers these.
 */
import { Database } from "bun:sqlite";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Installation, install } from "#test/installation.ts";
import { inspect, settledRecords } from "./inventory.ts";
import { type Operation, operations, STEADY, tidyUp } from "./operations.ts";
import { generator, prepare, timeOf } from "./torture.ts";

export interface Cut {
  operation: string;
  after_ms: number;
  outcome: "done" | "undone" | undefined;
  failures: string[];
}

export interface PowerLossOptions {
  cuts: number;
  /** The same seed chooses the same operations and moments. */
  seed: number;
  onCut?: (cut: Cut) => void;
}

export async function powerLoss({ cuts, seed, onCut }: PowerLossOptions): Promise<Cut[]> {
  const random = generator(seed);
  await using banger = install();
  await prepare(banger);
  // What follows a start from the copy must not meet the taps of the original.
  const all = operations("none");
  const usual_ms: number[] = [];
  const made: Cut[] = [];
  for (let round = 0; round < cuts; round++) {
    const index = Math.floor(random() * all.length);
    const operation = all[index];
    if (!operation) break;
    usual_ms[index] ??= await timeOf(banger, operation, `t${index}`);
    const after_ms = random() * usual_ms[index];
    const cut = await cutDuring(banger, operation, { name: `p${round}`, after_ms });
    onCut?.(cut);
    made.push(cut);
  }
  return made;
}

async function cutDuring(
  banger: Installation,
  operation: Operation,
  { name, after_ms }: { name: string; after_ms: number },
): Promise<Cut> {
  await operation.prepare?.(banger, name);
  const call = banger.call(operation.args(banger, name));
  await Bun.sleep(after_ms);
  await using copy = install();
  copyFrozen(banger, copy);
  await call;
  await tidyUp(banger, await settledRecords(banger), name);
  pretendReboot(copy);
  const { outcome, failures } = await judge(copy, operation, name);
  return { operation: operation.name, after_ms, outcome, failures };
}

/** At one moment of all processes: what they had written to their files, whole or not. */
function copyFrozen(from: Installation, to: Installation): void {
  const frozen: number[] = [];
  try {
    // Again, for what a process has started before it was its turn.
    for (let isNew = true; isNew; ) {
      const others = from.processes().filter(({ pid }) => !frozen.includes(pid));
      for (const { pid } of others) {
        signal(pid, "SIGSTOP");
        frozen.push(pid);
      }
      isNew = others.length > 0;
    }
    for (const root of ["state", "cache"]) {
      rmSync(join(to.home, root), { recursive: true, force: true });
      const copied = Bun.spawnSync([
        ...["cp", "-a", "--sparse=always"],
        join(from.home, root),
        join(to.home, root),
      ]);
      if (copied.exitCode !== 0) throw new Error(copied.stderr.toString());
    }
    cpSync(join(from.home, "layout"), join(to.home, "layout"), { recursive: true });
  } finally {
    for (const pid of frozen) signal(pid, "SIGCONT");
  }
}

function signal(pid: number, name: "SIGSTOP" | "SIGCONT"): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended meanwhile.
  }
}

/** The processes of the original run on, under this boot's id. */
function pretendReboot({ home }: Installation): void {
  const db = new Database(join(home, "state/banger/banger.db"));
  db.run(
    `UPDATE vms SET runtime = json_set(runtime, '$.hostBootId', 'before') WHERE runtime IS NOT NULL`,
  );
  const { integrity_check } = db.query("PRAGMA integrity_check").get() as {
    integrity_check: string;
  };
  db.close();
  if (integrity_check !== "ok") throw new Error(`the store: ${integrity_check}`);
}

async function judge(copy: Installation, operation: Operation, name: string) {
  const failures: string[] = [];
  const { records, contradictions } = await inspect(copy);
  failures.push(...contradictions);
  // No machine runs after a reboot; what was running is down, and nothing else is different.
  const asRunning = {
    ...records,
    machines: records.machines.map((vm) => ({ ...vm, state: vm.exit ? "running" : vm.state })),
  } as typeof records;
  const outcome = operation.outcome(records, name) ?? operation.outcome(asRunning, name);
  if (!outcome) failures.push(`neither done nor undone: ${JSON.stringify(records.machines)}`);
  for (const { id, name: image } of records.images) {
    const rootfs = join(copy.home, "state/banger/images", id, "rootfs.ext4");
    const checked = Bun.spawnSync(["e2fsck", "-fn", rootfs]);
    if (checked.exitCode !== 0) failures.push(`image ${image}: ${checked.stdout}`);
  }
  const { stdout, stderr } = await startAndAsk(copy);
  if (stdout !== "alive\n") failures.push(`${STEADY} does not come up again: ${stderr}`);
  return { outcome, failures };
}

async function startAndAsk(copy: Installation) {
  const started = await copy.call(["vm", "start", STEADY]);
  if (started.status !== 0) return started;
  return await copy.call(["vm", "exec", STEADY, "--", "echo", "alive"]);
}
