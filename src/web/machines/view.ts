/** Which machines the list shows, and in which order. */
import { computed, signal } from "@preact/signals";
import type { Vm } from "#api/vm.ts";
import { machineList } from "#web/link/machines.ts";
import { usageOf } from "#web/link/usage.ts";
import { matches } from "./matches.ts";

export type SortKey = "name" | "state" | "image" | "address" | "cpu" | "memory" | "age";

export const filter = signal("");
export const sort = signal<{ key: SortKey; isDown: boolean }>({ key: "name", isDown: false });
export const selected = signal<ReadonlySet<string>>(new Set());
export const cursor = signal(0);

const STATES = "running starting waking paused suspending suspended stopping creating stopped";

export const shown = computed(() => {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const { key, isDown } = sort.value;
  const order = isDown ? -1 : 1;
  return machineList.value
    .filter((vm) => matches(vm, words))
    .sort((a, b) => order * compare(a, b, key) || collator.compare(a.name, b.name));
});

export const selectedMachines = computed(() =>
  machineList.value.filter(({ id }) => selected.value.has(id)),
);

export function sortBy(key: SortKey): void {
  const { key: now, isDown } = sort.value;
  sort.value = { key, isDown: now === key && !isDown };
}

export function toggle(id: string): void {
  const next = new Set(selected.value);
  if (!next.delete(id)) next.add(id);
  selected.value = next;
}

export function toggleAll(): void {
  const all = shown.value.map(({ id }) => id);
  const isAll = all.every((id) => selected.value.has(id));
  selected.value = new Set(isAll ? [] : all);
}

const collator = new Intl.Collator("en", { numeric: true });

function compare(a: Vm, b: Vm, key: SortKey): number {
  switch (key) {
    case "name":
      return collator.compare(a.name, b.name);
    case "state":
      return STATES.indexOf(a.state) - STATES.indexOf(b.state);
    case "image":
      return collator.compare(a.image, b.image);
    case "address":
      return collator.compare(a.network.address ?? "", b.network.address ?? "");
    case "age":
      return a.createdAt < b.createdAt ? 1 : a.createdAt > b.createdAt ? -1 : 0;
    case "cpu":
      return (usageOf(a.id).at(-1)?.cpu ?? 0) - (usageOf(b.id).at(-1)?.cpu ?? 0);
    case "memory":
      return (
        (usageOf(a.id).at(-1)?.resident_bytes ?? 0) - (usageOf(b.id).at(-1)?.resident_bytes ?? 0)
      );
  }
}
