/** Changes of a machine's egress policy. */
import type { Vm } from "#api/vm.ts";
import { daemon } from "#web/link/daemon.ts";
import { putMachine } from "#web/link/machines.ts";
import { runTask } from "#web/link/tasks.ts";
import { confirm } from "#web/parts/dialog.tsx";

interface Change {
  add?: string[];
  remove?: string[];
  ask?: boolean;
}

export async function changePolicy(vm: Vm, change: Change): Promise<boolean> {
  const changed = await runTask(`Change the policy of ${vm.name}`, () =>
    daemon.vm.changePolicy({ name: vm.id, ...change }),
  );
  if (changed) putMachine(changed);
  return changed !== undefined;
}

export async function setPolicy(
  vm: Vm,
  policy: { allow: string[] | null; ask?: boolean },
): Promise<void> {
  const changed = await runTask(`Change the policy of ${vm.name}`, () =>
    daemon.vm.setPolicy({ name: vm.id, ...policy }),
  );
  if (changed) putMachine(changed);
}

export async function deny(vm: Vm): Promise<void> {
  const isSure = await confirm(`Deny outbound traffic of ${vm.name}?`, {
    body: "New connections fail until a rule allows them.",
    confirm: "Deny",
  });
  if (isSure) await setPolicy(vm, { allow: [] });
}

export async function lift(vm: Vm): Promise<void> {
  const isSure = await confirm(`Remove the policy of ${vm.name}?`, {
    body: "It may then reach everything that its network mode lets it.",
    confirm: "Remove",
  });
  if (isSure) await setPolicy(vm, { allow: null });
}
