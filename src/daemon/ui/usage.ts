/**
 * Records what running machines cost the host, from /proc and the taps' counters, while somebody watches or a browser is
 * logged in. No guest is asked: a machine that is left alone still counts as idle.
 */
import { readFileSync, statSync } from "node:fs";
import type { UsageReport, UsageSample } from "#api/ui/usage.ts";
import type { Vm } from "#api/vm.ts";
import { onAbort } from "#base/abort.ts";
import { tapName } from "#net/names.ts";

const LIVE_EVERY_MS = 2000;
/** One in this many samples is kept: a point every ten seconds. */
const KEEP_EVERY = 5;
const KEPT_MAX = 360;
/** USER_HZ, the unit of /proc/PID/stat, is the same on every machine. */
const MS_PER_TICK = 10;
const BLOCK_BYTES = 512;
const KIB = 1024;

interface Counters {
  at_ms: number;
  cpu_ms: number;
  read_bytes: number;
  write_bytes: number;
  receive_bytes: number;
  send_bytes: number;
}

interface Machine {
  last: Counters;
  newest: UsageSample | undefined;
  kept: UsageSample[];
}

export interface UsageSources {
  list(): Vm[];
  /** Path of the writable layer. */
  diskOf(id: string): string;
  /** Whether to go on recording although nobody watches. */
  isWanted(): boolean;
}

export class UsageRecorder {
  readonly #sources: UsageSources;
  readonly #machines = new Map<string, Machine>();
  readonly #watchers = new Set<() => void>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #count = 0;

  constructor(sources: UsageSources) {
    this.#sources = sources;
  }

  async *watch(signal: AbortSignal | undefined): AsyncGenerator<UsageReport, void> {
    let next = Promise.withResolvers<void>();
    const wake = (): void => next.resolve();
    this.#watchers.add(wake);
    using _ = onAbort(signal, wake);
    try {
      this.#start();
      yield this.#report(({ kept, newest }) => (newest ? [...kept, newest] : kept));
      for (;;) {
        await next.promise;
        next = Promise.withResolvers();
        if (signal?.aborted) return;
        yield this.#report(({ newest }) => (newest ? [newest] : []));
      }
    } finally {
      this.#watchers.delete(wake);
    }
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #report(samplesOf: (machine: Machine) => UsageSample[]): UsageReport {
    const machines = [...this.#machines].map(([id, each]) => ({ id, samples: samplesOf(each) }));
    return { machines };
  }

  #start(): void {
    if (this.#timer !== undefined) return;
    this.#sample();
    this.#timer = setInterval(() => this.#tick(), LIVE_EVERY_MS);
    this.#timer.unref();
  }

  #tick(): void {
    const isWatched = this.#watchers.size > 0;
    if (!isWatched && !this.#sources.isWanted()) {
      this.stop();
      this.#machines.clear();
      return;
    }
    this.#count++;
    if (isWatched || this.#count % KEEP_EVERY === 0) this.#sample();
    for (const wake of this.#watchers) wake();
  }

  #sample(): void {
    const running = this.#sources.list().filter(({ vmm }) => vmm !== undefined);
    const ids = new Set(running.map(({ id }) => id));
    for (const id of this.#machines.keys()) if (!ids.has(id)) this.#machines.delete(id);
    for (const { id, vmm } of running) {
      const counters = countersOf(id, vmm?.pid);
      if (!counters) continue;
      const machine = this.#machines.get(id);
      if (!machine) {
        this.#machines.set(id, { last: counters, newest: undefined, kept: [] });
        continue;
      }
      machine.newest = sampleOf(machine.last, counters, {
        resident_bytes: residentOf(vmm?.pid),
        disk_bytes: allocatedOf(this.#sources.diskOf(id)),
      });
      machine.last = counters;
      if (this.#count % KEEP_EVERY !== 0) continue;
      machine.kept.push(machine.newest);
      if (machine.kept.length > KEPT_MAX) machine.kept.shift();
    }
  }
}

export function sampleOf(
  before: Counters,
  now: Counters,
  sizes: Pick<UsageSample, "resident_bytes" | "disk_bytes">,
): UsageSample {
  const elapsed_ms = Math.max(1, now.at_ms - before.at_ms);
  const rate = (field: Exclude<keyof Counters, "at_ms" | "cpu_ms">) =>
    Math.max(0, Math.round(((now[field] - before[field]) / elapsed_ms) * 1000));
  return {
    at_ms: now.at_ms,
    cpu: Math.max(0, (now.cpu_ms - before.cpu_ms) / elapsed_ms),
    ...sizes,
    read_bytes: rate("read_bytes"),
    write_bytes: rate("write_bytes"),
    receive_bytes: rate("receive_bytes"),
    send_bytes: rate("send_bytes"),
  };
}

/** Undefined for a VMM that has just ended. */
function countersOf(id: string, pid: number | undefined): Counters | undefined {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === "") return undefined;
  // The name before it may hold anything.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const io = read(`/proc/${pid}/io`);
  const tap = `/sys/class/net/${tapName(id)}/statistics`;
  return {
    at_ms: Date.now(),
    cpu_ms: (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK,
    read_bytes: Number(/^read_bytes: (\d+)/m.exec(io)?.[1] ?? 0),
    write_bytes: Number(/^write_bytes: (\d+)/m.exec(io)?.[1] ?? 0),
    // What the host sends to the tap, the machine receives.
    receive_bytes: Number(read(`${tap}/tx_bytes`)),
    send_bytes: Number(read(`${tap}/rx_bytes`)),
  };
}

function residentOf(pid: number | undefined): number {
  return Number(/^VmRSS:\s*(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) * KIB;
}

function allocatedOf(path: string): number {
  return (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * BLOCK_BYTES;
}

/** Empty for what is not there. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
