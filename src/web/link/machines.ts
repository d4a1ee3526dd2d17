/** The machines as they are now: loaded once, then kept by the daemon's events. */
import { computed, signal } from "@preact/signals";
import type { MachineEvent } from "#api/system.ts";
import type { Vm } from "#api/vm.ts";
import { daemon, login } from "./daemon.ts";
import { failureOf } from "./failure.ts";
import { Gathered } from "./gathered.ts";

const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 4000;
const EVENTS_KEPT_MAX = 500;

export const machines = signal<ReadonlyMap<string, Vm>>(new Map());
export const connection = signal<"connecting" | "live" | "lost">("connecting");
/** Of this page's lifetime, newest first. */
export const events = signal<readonly MachineEvent[]>([]);
/** Counts the times that the daemon was reached: what a page has loaded is stale when it grows. */
export const generation = signal(0);

export const machineList = computed(() => [...machines.value.values()]);

export function machineNamed(name: string): Vm | undefined {
  return machineList.value.find((each) => each.name === name);
}

/** What was asked for before a machine was removed may be answered after it. */
const removed = new Set<string>();

export function putMachine(vm: Vm): void {
  if (removed.has(vm.id)) return;
  machines.value = new Map(machines.value).set(vm.id, vm);
}

/** Follows for as long as the page is logged in. */
export async function followMachines(): Promise<void> {
  let delay_ms = RETRY_MIN_MS;
  while (login.value === "in") {
    try {
      const stream = await daemon.system.events(undefined);
      await loadAll();
      connection.value = "live";
      generation.value++;
      delay_ms = RETRY_MIN_MS;
      for await (const event of stream) take(event);
    } catch (error) {
      if (failureOf(error).code === "unauthorized") login.value = "out";
    }
    if (login.peek() !== "in") return;
    connection.value = "lost";
    await new Promise((resolve) => setTimeout(resolve, delay_ms));
    delay_ms = Math.min(2 * delay_ms, RETRY_MAX_MS);
  }
}

/** Names and settings change without an event: whoever comes back to the page sees them. */
export function loadOnReturn(): void {
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && connection.value === "live") void loadAll().catch(() => {});
  });
}

async function loadAll(): Promise<void> {
  const all = await daemon.vm.list(undefined);
  const present = all.filter(({ id }) => !removed.has(id));
  machines.value = new Map(present.map((vm) => [vm.id, vm]));
}

const changed = new Gathered({
  one: async (id) => putMachine(await daemon.vm.show({ name: id })),
  all: loadAll,
});

function take(event: MachineEvent): void {
  events.value = [event, ...events.value.slice(0, EVENTS_KEPT_MAX - 1)];
  if (event.state === "removed") {
    changed.delete(event.id);
    removed.add(event.id);
    const next = new Map(machines.value);
    next.delete(event.id);
    machines.value = next;
    return;
  }
  const known = machines.value.get(event.id);
  if (known) putMachine({ ...known, state: event.state });
  changed.add(event.id);
}
