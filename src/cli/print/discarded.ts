import type { Vm } from "#api/vm.ts";

/** What was lost with a machine that was ended while it was suspended. */
export function noteDiscarded({ name, exit }: Vm, note: (text: string) => void): void {
  if (exit?.reason === "killed" && exit.detail) note(`${name}: ${exit.detail}`);
}
