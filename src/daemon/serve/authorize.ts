/**
 * What a caller may do, by src/api/access.ts. The one place that decides it: the router asks for every
 * procedure, and the exec streams for every stream.
 */

import type { ExecOpen } from "#api/exec.ts";
import { type Access, access, OWN_MAY_CHOOSE, streamAccess } from "#api/serve/access.ts";
import type { Caller } from "#api/serve/caller.ts";
import type { MachineEvent } from "#api/system.ts";
import { BangerError } from "#base/error.ts";
import { isLoopback } from "#net/address.ts";
import { parseLocation } from "#oci/location.ts";
import { isAsleep } from "#vm/machine.ts";
import type { VmService } from "#vm/service.ts";

export interface Owned {
  token?: string | undefined;
}

/** Where callers' machines and snapshots are looked up. */
export interface Domains {
  vms: Pick<VmService, "list" | "show">;
  snapshots: { show(name: string): Owned };
  volumes: { find(name: string): Owned | undefined };
}

type Fields = Record<string, unknown>;

/** Throws `permission_denied`, or `not_found` for what the caller must not learn about. */
export function authorize(
  { vms, snapshots, volumes }: Domains,
  caller: Caller,
  call: { path: readonly string[]; input: unknown },
): void {
  const rule = accessOf(call.path);
  if (caller.token === undefined) return;
  const name = call.path.join(".");
  if (!rule || rule.isUserOnly || !rule.scopes.includes(caller.scope)) throw denied(caller, name);
  const input = isFields(call.input) ? call.input : {};
  const machine = textOf(input, rule.machine);
  if (machine !== undefined) assertMachine(vms, caller, { ref: machine, wakes: rule.wakes });
  const snapshot = textOf(input, rule.snapshot);
  if (snapshot !== undefined) assertSnapshot(snapshots, caller, snapshot);
  if (caller.scope !== "own") return;
  const volume = textOf(input, rule.volume);
  if (volume !== undefined) {
    assertVolume(volumes, caller, { name: volume, isNew: rule.createsVolume === true });
  }
  const mounts = Array.isArray(input["volumes"]) ? input["volumes"].filter(isFields) : [];
  for (const mount of mounts) {
    assertVolume(volumes, caller, { name: String(mount["volume"]), isNew: true });
  }
  if (rule.limits === "create") assertChoices(caller, { ...input, ...namesOf(call.path, input) });
  if (rule.limits === "image") assertPull(caller, input);
}

/** The same for what has no procedure of its own. */
export function authorizeExec(domains: Domains, caller: Caller, open: ExecOpen): void {
  if (caller.token === undefined) return;
  if (open.kind === "run") {
    authorize(domains, caller, { path: ["vm", "create"], input: open.create });
    return;
  }
  const kind = streamAccess[open.kind];
  const isInput = open.kind === "session" && open.stdin;
  if (caller.scope === "read" && (kind === "change" || isInput)) throw denied(caller, open.kind);
  assertMachine(domains.vms, caller, { ref: open.vm, wakes: kind === "read" });
}

/** Whether it is among what the caller is shown. */
export function sees(caller: Caller, owned: Owned): boolean {
  return caller.scope !== "own" || owned.token === caller.token;
}

/** The events of machines that the caller sees, also that they are removed. */
export async function* seenEvents(
  { vms }: Pick<Domains, "vms">,
  caller: Caller,
  events: AsyncGenerator<MachineEvent, void>,
): AsyncGenerator<MachineEvent, void> {
  const own = new Set<string>();
  const look = (): void => {
    for (const vm of vms.list()) if (sees(caller, vm)) own.add(vm.id);
  };
  if (caller.scope === "own") look();
  for await (const event of events) {
    if (caller.scope === "own" && !own.has(event.id)) look();
    if (caller.scope !== "own" || own.has(event.id)) yield event;
    if (event.state === "removed") own.delete(event.id);
  }
}

/** Undefined for a path that is no procedure. */
export function accessOf(path: readonly string[]): Access | undefined {
  let node: unknown = access;
  for (const part of path) {
    if (!isFields(node) || !Object.hasOwn(node, part)) return undefined;
    node = node[part];
  }
  return isFields(node) && Array.isArray(node["scopes"]) ? (node as unknown as Access) : undefined;
}

function assertMachine(
  vms: Domains["vms"],
  caller: Caller,
  { ref, wakes }: { ref: string; wakes?: boolean | undefined },
): void {
  if (caller.scope === "full") return;
  const vm = find(() => vms.show(ref));
  if (!vm || !sees(caller, vm)) {
    // Must reveal neither whether it exists nor the names of others.
    if (caller.scope === "own") throw missing("machine", ref);
    return;
  }
  if (caller.scope !== "read" || !wakes || !isAsleep(vm.state)) return;
  throw new BangerError(
    "invalid_state",
    `Cannot read from machine "${vm.name}": it is ${vm.state}, and token "${caller.name}" may not resume it`,
    { hint: `Resume it with: banger vm resume ${vm.name}` },
  );
}

function assertSnapshot(snapshots: Domains["snapshots"], caller: Caller, name: string): void {
  if (caller.scope !== "own") return;
  const snapshot = find(() => snapshots.show(name));
  if (!snapshot || !sees(caller, snapshot)) throw missing("snapshot", name);
}

/** `isNew`: one that does not exist becomes the caller's. */
function assertVolume(
  volumes: Domains["volumes"],
  caller: Caller,
  { name, isNew }: { name: string; isNew: boolean },
): void {
  const volume = volumes.find(name);
  if (volume ? !sees(caller, volume) : !isNew) throw missing("volume", name);
}

/** Options of a machine must not give access to other machines, the host's files or its other addresses. */
function assertChoices(caller: Caller, input: Fields): void {
  for (const [field, value] of Object.entries(input)) {
    if (value === undefined) continue;
    const isAllowed = Object.hasOwn(OWN_MAY_CHOOSE, field) && OWN_MAY_CHOOSE[field as "name"];
    if (!isAllowed) throw denied(caller, `"${field}"`);
  }
  assertRegistry(caller, input["image"]);
  const ports = Array.isArray(input["ports"]) ? input["ports"].filter(isFields) : [];
  const outside = ports.find(({ hostAddress: at }) => at !== undefined && !isLoopback(String(at)));
  if (outside) throw denied(caller, `publishing at ${String(outside["hostAddress"])}`);
}

/** The other fields of a fork or change concern the machine, which is checked already. */
function namesOf(path: readonly string[], input: Fields): Fields {
  const [, procedure] = path;
  return procedure === "fork" ? { count: undefined, pattern: undefined, name: input["name"] } : {};
}

function assertPull(caller: Caller, input: Fields): void {
  for (const field of ["name", "force", "kernel"]) {
    if (input[field] !== undefined) throw denied(caller, `"${field}"`);
  }
  assertRegistry(caller, input["reference"]);
}

/** `oci:DIR` and its like are files of the host. */
function assertRegistry(caller: Caller, reference: unknown): void {
  if (typeof reference !== "string") return;
  const { kind } = parseLocation(reference);
  if (kind !== "registry") throw denied(caller, `images from ${kind}:`);
}

function denied({ name, scope }: Caller, what: string): BangerError {
  return new BangerError(
    "permission_denied",
    `token "${name}" has scope "${scope}", which does not permit ${what}`,
    { hint: "Create a token with another scope: banger token create --scope full" },
  );
}

function missing(noun: "machine" | "snapshot" | "volume", ref: string): BangerError {
  const lists = { machine: "vm list", snapshot: "vm snapshot list", volume: "volume list" };
  return new BangerError("not_found", `no such ${noun} "${ref}"`, {
    hint: `List ${noun}s with: banger ${lists[noun]}`,
  });
}

/** Undefined if it does not exist; an unreadable record belongs to nobody. */
function find<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof BangerError) return undefined;
    throw error;
  }
}

function textOf(input: Fields, field: string | undefined): string | undefined {
  const value = field === undefined ? undefined : input[field];
  return typeof value === "string" ? value : undefined;
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null;
}
