/** Makes what a plan says: its volumes, the machine, and the import of its workspace. */
import type { Vm } from "#api/vm.ts";
import { finish } from "#sdk/stream.ts";
import { vmHref } from "#web/app/route.ts";
import { daemon } from "#web/link/daemon.ts";
import { putMachine } from "#web/link/machines.ts";
import { runTask, type Work } from "#web/link/tasks.ts";
import type { Plan } from "./request.ts";

/** Undefined if it failed; volumes that were created for the machine are gone then. */
export async function makeMachine(label: string, plan: Plan): Promise<Vm | undefined> {
  const vm = await runTask(label, (work) => make(plan, work), {
    isLong: true,
    hrefOf: ({ name }) => vmHref(name),
  });
  if (vm) putMachine(vm);
  return vm;
}

async function make({ volumes, request }: Plan, { signal, onProgress }: Work): Promise<Vm> {
  const made: string[] = [];
  try {
    for (const volume of volumes) {
      const { name } = volume;
      onProgress({ step: `volume ${name}`, message: `Creating volume ${name}` });
      await daemon.volume.create(volume, { signal });
      made.push(name);
    }
    return await finish(daemon.vm.create(request, { signal }), onProgress);
  } catch (error) {
    for (const name of made) await daemon.volume.remove({ name }).catch(() => {});
    throw error;
  }
}
