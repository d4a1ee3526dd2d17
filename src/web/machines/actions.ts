/** What can be done with machines, from every page. */
import type { Vm, VmState } from "#api/vm.ts";
import { finish } from "#sdk/stream.ts";
import { go, vmHref } from "#web/app/route.ts";
import { daemon } from "#web/link/daemon.ts";
import { putMachine } from "#web/link/machines.ts";
import { runTask } from "#web/link/tasks.ts";
import { confirm } from "#web/parts/dialog.tsx";
import type { MenuItem } from "#web/parts/menu.tsx";

export type Action = "start" | "stop" | "restart" | "suspend" | "resume" | "kill";

/** The state that each action needs. */
const NEEDS: Record<Action, readonly VmState[]> = {
  start: ["stopped"],
  stop: ["running", "paused"],
  restart: ["running"],
  suspend: ["running"],
  resume: ["paused", "suspended"],
  kill: ["running", "paused", "stopping", "starting"],
};

const VERBS: Record<Action, string> = {
  start: "Start",
  stop: "Stop",
  restart: "Restart",
  suspend: "Suspend",
  resume: "Resume",
  kill: "Power off",
};

export function can(action: Action, { state, foreground }: Vm): boolean {
  return foreground === undefined && NEEDS[action].includes(state);
}

/** What one would most likely do next. */
export function mainAction(vm: Vm): Action | undefined {
  return (["start", "resume", "stop"] as const).find((action) => can(action, vm));
}

export function verb(action: Action): string {
  return VERBS[action];
}

export async function act(action: Action, { id, name }: Vm): Promise<void> {
  const input = { name: id };
  const vm = await runTask(`${VERBS[action]} ${name}`, async ({ onProgress, signal }) => {
    switch (action) {
      case "stop":
        return await daemon.vm.stop(input, { signal });
      case "kill":
        return await daemon.vm.kill(input, { signal });
      case "start":
        return await finish(daemon.vm.start(input, { signal }), onProgress);
      case "restart":
        return await finish(daemon.vm.restart(input, { signal }), onProgress);
      case "suspend":
        return await finish(daemon.vm.suspend(input, { signal }), onProgress);
      case "resume":
        return await finish(daemon.vm.resume(input, { signal }), onProgress);
    }
  });
  if (vm) putMachine(vm);
}

export async function fork({ id, name }: Vm): Promise<void> {
  await runTask(
    `Fork ${name}`,
    ({ onProgress, signal }) =>
      finish(daemon.vm.fork({ name: id, count: 1 }, { signal }), onProgress),
    { hrefOf: ({ machines }) => vmHref(machines[0]?.name ?? name), isLong: true },
  );
}

export async function snapshot({ id, name }: Vm): Promise<boolean> {
  const made = await runTask(`Snapshot ${name}`, ({ onProgress, signal }) =>
    finish(daemon.snapshot.create({ name: id }, { signal }), onProgress),
  );
  return made !== undefined;
}

/** Asks first. Gives whether anything was removed. */
export async function remove(vms: readonly Vm[]): Promise<boolean> {
  const [first] = vms;
  if (!first) return false;
  const what = vms.length === 1 ? `machine "${first.name}"` : `${vms.length} machines`;
  const running = vms.filter(({ state }) => state !== "stopped").length;
  const names = vms.map(({ name }) => name).join(", ");
  const isSure = await confirm(`Remove ${what}?`, {
    body: [
      vms.length > 1 ? `${names}. ` : "",
      "The disk is deleted and cannot be restored. ",
      running > 0 ? `${running === 1 ? "It is" : `${running} of them are`} powered off first.` : "",
    ].join(""),
    confirm: "Remove",
    isDanger: true,
  });
  if (!isSure) return false;
  await Promise.all(
    vms.map(({ id, name }) =>
      runTask(`Remove ${name}`, ({ signal }) =>
        daemon.vm.remove({ name: id, force: true }, { signal }),
      ),
    ),
  );
  return true;
}

export function menuOf(vm: Vm): MenuItem[] {
  const simple = (["restart", "suspend", "kill"] as const).map((action) => ({
    label: VERBS[action],
    isDisabled: !can(action, vm),
    onSelect: () => void act(action, vm),
  }));
  return [
    { label: "Terminal", isDisabled: vm.state !== "running", onSelect: () => go(vmHref(vm.name)) },
    ...simple,
    { label: "Fork", isDisabled: vm.state !== "running", onSelect: () => void fork(vm) },
    { label: "Snapshot", onSelect: () => void snapshot(vm) },
    { label: "Remove…", isDanger: true, onSelect: () => void remove([vm]) },
  ];
}
