import type { Vm } from "#api/vm.ts";

/** By shape and word as well as by colour. */
export function StateMark({ vm }: { vm: Vm }) {
  const { state, exit, pending, foreground } = vm;
  const isFailed =
    state === "stopped" &&
    exit !== undefined &&
    exit.reason !== "poweroff" &&
    exit.reason !== "killed";
  const notes = [
    isFailed ? exit.reason : undefined,
    exit?.status ? `status ${exit.status}` : undefined,
    pending?.length ? `pending: ${pending.join(", ")}` : undefined,
    foreground ? "foreground" : undefined,
  ].filter((note) => note !== undefined);
  return (
    <span class={`state ${state} ${isFailed ? "bad" : ""}`} title={notes.join("; ")}>
      <i aria-hidden="true" />
      {state}
      {isFailed && <span class="dim"> ({exit.reason})</span>}
    </span>
  );
}
