/** All machines. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { addKeys } from "#web/app/keys.ts";
import { go, pageHref, vmHref } from "#web/app/route.ts";
import { connection, machineList } from "#web/link/machines.ts";
import { Copyable } from "#web/parts/copy.tsx";
import { Rows } from "#web/parts/rows.tsx";
import { Empty } from "#web/parts/trouble.tsx";
import { act, mainAction } from "./actions.ts";
import { Bulk } from "./bulk.tsx";
import { Row } from "./row.tsx";
import {
  cursor,
  filter,
  type SortKey,
  selected,
  shown,
  sort,
  sortBy,
  toggle,
  toggleAll,
} from "./view.ts";

const WIDE_ROW_PX = 36;
const NARROW_ROW_PX = 92;
const narrow = matchMedia("(max-width: 720px)");

const COLUMNS: readonly [key: SortKey | undefined, label: string, cell: string][] = [
  ["name", "Name", "cell-name"],
  ["state", "State", "cell-state"],
  ["image", "Image", "cell-image"],
  ["address", "Address", "cell-address"],
  [undefined, "Ports", "cell-ports"],
  ["cpu", "CPU", "cell-graph cpu"],
  ["memory", "Memory", "cell-graph memory"],
  [undefined, "Disk", "cell-graph disk"],
  [undefined, "Network", "cell-graph net"],
  ["age", "Age", "cell-age"],
];

export function MachinesPage() {
  const isNarrow = useSignal(narrow.matches);
  useEffect(() => {
    const change = () => {
      isNarrow.value = narrow.matches;
    };
    narrow.addEventListener("change", change);
    return () => narrow.removeEventListener("change", change);
  }, []);
  useEffect(() => addKeys(KEYS), []);
  const all = machineList.value.length;
  const rows = shown.value;
  const row_px = isNarrow.value ? NARROW_ROW_PX : WIDE_ROW_PX;
  if (all === 0 && connection.value === "live") return <NoMachines />;
  return (
    <>
      <h1 class="hidden">Machines</h1>
      <div class="toolbar">
        <label class="hidden" for="filter">
          Filter machines
        </label>
        <input
          id="filter"
          type="search"
          placeholder="Filter: name, image, state:running, label:team=web"
          value={filter.value}
          onInput={({ currentTarget }) => {
            filter.value = currentTarget.value;
            cursor.value = 0;
          }}
          onKeyDown={leaveFilter}
        />
        <span class="dim count" role="status">
          {rows.length === all ? `${all}` : `${rows.length} of ${all}`}
        </span>
        <a class="button main" href={pageHref("new")}>
          Create
        </a>
      </div>
      <Bulk />
      <div class="machines" role="grid" aria-label="Machines" aria-rowcount={rows.length + 1}>
        <Head />
        <Rows items={rows} row_px={row_px} keyOf={({ id }) => id} cursor={cursor.value}>
          {(vm, index) => <Row vm={vm} index={index} />}
        </Rows>
      </div>
      {rows.length === 0 && all > 0 && <Empty title="No machine matches the filter" />}
    </>
  );
}

function Head() {
  const { key: now, isDown } = sort.value;
  const isAll = shown.value.length > 0 && shown.value.every(({ id }) => selected.value.has(id));
  return (
    <div class="row head" role="row" aria-rowindex={1}>
      <span role="columnheader" class="cell-check">
        <input type="checkbox" aria-label="Select all" checked={isAll} onChange={toggleAll} />
      </span>
      {COLUMNS.map(([key, label, cell]) => (
        <span
          key={label}
          role="columnheader"
          class={cell}
          aria-sort={key !== now ? undefined : isDown ? "descending" : "ascending"}
        >
          {key ? (
            <button type="button" onClick={() => sortBy(key)}>
              {label}
              {key === now && <i aria-hidden="true">{isDown ? " ↓" : " ↑"}</i>}
            </button>
          ) : (
            label
          )}
        </span>
      ))}
      <span role="columnheader" class="cell-actions">
        <span class="hidden">Actions</span>
      </span>
    </div>
  );
}

function NoMachines() {
  return (
    <Empty title="No machines yet" isPage>
      <p>
        <a class="button main" href={pageHref("new")}>
          Create a machine
        </a>
      </p>
      <p class="dim">or, in a shell:</p>
      <Copyable text="banger vm create --image debian-bookworm" label="Copy command" />
    </Empty>
  );
}

function leaveFilter(event: KeyboardEvent): void {
  if (event.key !== "Escape" && event.key !== "Enter") return;
  if (event.key === "Escape") filter.value = "";
  if (event.currentTarget instanceof HTMLElement) event.currentTarget.blur();
  focusCursor();
}

function move(step: number): void {
  cursor.value = Math.max(0, Math.min(shown.value.length - 1, cursor.value + step));
  focusCursor();
}

/** The focus goes along, so that a screen reader reads the row. */
function focusCursor(): void {
  requestAnimationFrame(() =>
    requestAnimationFrame(() =>
      document
        .querySelector<HTMLElement>(`[data-cursor="${cursor.value}"]`)
        ?.focus({ preventScroll: true }),
    ),
  );
}

const atCursor = () => shown.value[cursor.value];

const KEYS = {
  "/": () => document.getElementById("filter")?.focus(),
  j: () => move(1),
  k: () => move(-1),
  ArrowDown: () => move(1),
  ArrowUp: () => move(-1),
  Home: () => move(-shown.value.length),
  End: () => move(shown.value.length),
  Enter: () => openAtCursor(),
  t: () => openAtCursor(),
  x: () => {
    const vm = atCursor();
    if (vm) toggle(vm.id);
  },
  a: toggleAll,
  s: () => {
    const vm = atCursor();
    const action = vm && mainAction(vm);
    if (vm && action) void act(action, vm);
  },
  Escape: () => {
    selected.value = new Set();
  },
};

function openAtCursor(): void {
  const vm = atCursor();
  if (vm) go(vmHref(vm.name));
}
