/** The machines of one client, and their snapshots. */
import type { BangerClient } from "#api/serve/mount.ts";
import type { Snapshot } from "#api/snapshot.ts";
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

/** Those of its machines, also when these are gone. */
export async function ownSnapshots(
  backend: Backend,
  client: BangerClient,
  signal?: AbortSignal,
): Promise<Snapshot[]> {
  const all = await client.snapshot.list(undefined, { signal });
  return all.filter((snapshot) => isOwn(backend, snapshot));
}

/** Throws `not_found` for a snapshot of someone else, as for one that does not exist. */
export async function assertOwnSnapshot(
  backend: Backend,
  client: BangerClient,
  { name, signal }: { name: string; signal?: AbortSignal | undefined },
): Promise<void> {
  const own = await ownSnapshots(backend, client, signal);
  if (own.some((snapshot) => snapshot.name === name)) return;
  throw new BangerError("not_found", `no such snapshot "${name}" of this client`);
}

function isOwn({ owner }: Backend, { labels }: Pick<Vm, "labels">): boolean {
  return owner === undefined || labels?.[OWNER_LABEL] === owner;
}
