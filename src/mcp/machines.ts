/** The machines of one client. */
import type { BangerClient } from "#api/serve/mount.ts";
import type { Vm } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import type { Backend } from "./backend.ts";

/** Label of machines that a client on stdio has created; its value is the client's name. */
const OWNER_LABEL = "banger.mcp";

export function ownerLabels({ owner }: Backend): Record<string, string> | undefined {
  return owner === undefined ? undefined : { [OWNER_LABEL]: owner };
}

export async function ownMachines(
  backend: Backend,
  client: BangerClient,
  signal?: AbortSignal,
): Promise<Vm[]> {
  const all = await client.vm.list(undefined, { signal });
  return all.filter((vm) => isOwn(backend, vm));
}

/** `not_found` for a machine of someone else, as for one that does not exist. */
export async function findMachine(
  backend: Backend,
  client: BangerClient,
  { machine, signal }: { machine: string; signal?: AbortSignal | undefined },
): Promise<Vm> {
  const vm = await client.vm.show({ name: machine }, { signal });
  if (isOwn(backend, vm)) return vm;
  throw new BangerError("not_found", `no such machine "${machine}" of this client`);
}

function isOwn({ owner }: Backend, { labels }: Vm): boolean {
  return owner === undefined || labels?.[OWNER_LABEL] === owner;
}
