/** Machine rows of the store. The only place that writes the `vms` table. */
import type { Database } from "bun:sqlite";
import { z } from "zod";
import { type Vm, type VmExit, type VmState, vmName } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { didYouMean } from "#base/similar.ts";
import { type Address, tryParseAddress } from "#net/address.ts";
import { readRow, readRows, type UnreadableRow } from "#store/row.ts";
import type { Owner } from "#vm/life/owner.ts";
import { assertTransition } from "./machine.ts";
import { type VmIntent, type VmRow, type VmRuntime, type VmSpec, vmRow } from "./spec.ts";

const idOnly = z.object({ id: z.string() });
const addressOnly = z.object({ address: z.unknown() });
const nameOnly = z.object({ name: z.string() });
/** Nothing of it runs. */
const stoppedRow = z.object({ state: z.enum(["stopped", "suspended", "creating", "removing"]) });

export interface UnreadableVm extends UnreadableRow {
  isStopped: boolean;
}

export interface VmRecord {
  id: string;
  name: string;
  state: VmState;
  imageId: string;
  /** The image's name now. */
  image: string;
  kernel: string;
  spec: VmSpec;
  runtime: VmRuntime | undefined;
  exit: VmExit | undefined;
  warning: string | undefined;
  intent: VmIntent | undefined;
  /** Undefined: the daemon. */
  owner: Owner | undefined;
  /** Id of the token that made it; undefined: the user. */
  token: string | undefined;
  createdAt: string;
  startedAt: string | undefined;
}

const SELECT =
  "SELECT vms.*, images.name AS image FROM vms JOIN images ON images.id = vms.image_id";

/** Every machine whose record can be read; `unreadableVms` has the others. */
export function listVms(db: Database): VmRecord[] {
  return readAll(db).readable.map(fromRow);
}

/** Whether a machine of the daemon's runs, sleeps, or is to be started again. */
export function hasWork(db: Database): boolean {
  const states = "state NOT IN ('creating', 'stopped', 'removing') OR intent = 'run'";
  return db.query(`SELECT 1 FROM vms WHERE owner IS NULL AND (${states}) LIMIT 1`).get() !== null;
}

export function unreadableVms(db: Database): UnreadableRow[] {
  return readAll(db).unreadable;
}

function readAll(db: Database) {
  return readRows(db.query(`${SELECT} ORDER BY vms.created_at, vms.id`).all(), "machine", vmRow);
}

/** Ids of all machines, also of those whose record cannot be read. */
export function vmIds(db: Database): Set<string> {
  return new Set(
    z
      .array(idOnly)
      .parse(db.query("SELECT id FROM vms").all())
      .map(({ id }) => id),
  );
}

/** Addresses that machines have for life, also those whose record cannot be read as a whole. */
export function reservedAddresses(db: Database): Address[] {
  const rows = db.query(
    "SELECT CASE WHEN json_valid(spec) THEN spec ->> '$.address' END AS address FROM vms",
  );
  return z
    .array(addressOnly)
    .parse(rows.all())
    .flatMap(({ address }) => tryParseAddress(String(address ?? "")) ?? []);
}

/** `integrity` for a machine whose record cannot be read. */
export function findVm(db: Database, ref: string): VmRecord | undefined {
  const row = findRow(db, ref);
  return row === undefined ? undefined : fromRow(readRow(row, "machine", vmRow));
}

function findRow(db: Database, ref: string): unknown {
  const row = db.query(`${SELECT} WHERE vms.name = $ref OR vms.id = $ref`).get({ ref });
  if (row || ref.length < 4) return row ?? undefined;
  const byPrefix = db.query(`${SELECT} WHERE substr(vms.id, 1, $length) = $ref LIMIT 2`);
  const rows = byPrefix.all({ ref, length: ref.length });
  return rows.length === 1 ? rows[0] : undefined;
}

/** Undefined for a machine that is not there, and for one whose record can be read. */
export function findUnreadableVm(db: Database, ref: string): UnreadableVm | undefined {
  const row = findRow(db, ref);
  if (row === undefined) return undefined;
  const [unreadable] = readRows([row], "machine", vmRow).unreadable;
  return unreadable && { ...unreadable, isStopped: stoppedRow.safeParse(row).success };
}

export function getVm(db: Database, ref: string): VmRecord {
  const found = findVm(db, ref);
  if (found) return found;
  const names = z.array(nameOnly).parse(db.query("SELECT name FROM vms").all());
  throw new BangerError("not_found", `no such machine "${ref}"`, {
    hint: didYouMean(
      ref,
      names.map(({ name }) => name),
      "List machines with: banger vm list",
    ),
  });
}

export interface NewVm {
  id: string;
  name: string;
  imageId: string;
  kernel: string;
  spec: VmSpec;
  owner?: Owner | undefined;
  token?: string | undefined;
}

/** `already_exists` when the name is taken, also by a machine that another call is making. */
export function insertVm(db: Database, vm: NewVm): void {
  const name = vmName.parse(vm.name);
  try {
    db.query(
      `INSERT INTO vms (id, name, state, image_id, kernel, spec, intent, owner, token, created_at)
       VALUES ($id, $name, 'creating', $imageId, $kernel, $spec, 'create', $owner, $token, $createdAt)`,
    ).run({
      id: vm.id,
      name,
      imageId: vm.imageId,
      kernel: vm.kernel,
      spec: JSON.stringify(vm.spec),
      owner: vm.owner ? JSON.stringify(vm.owner) : null,
      token: vm.token ?? null,
      createdAt: new Date().toISOString(),
    });
  } catch (error) {
    throw nameTaken(error, `create machine "${name}"`, name) ?? error;
  }
}

/** Undefined when the statement failed for another reason. */
function nameTaken(error: unknown, action: string, name: string): BangerError | undefined {
  if (!(error instanceof Error && error.message.includes("vms.name"))) return undefined;
  return new BangerError("already_exists", `Cannot ${action}: the name is already in use`, {
    hint: `Use a different name, or remove that machine first: banger vm rm ${name}`,
  });
}

export interface VmChange {
  /** `already_exists` when it is taken. */
  name?: string;
  state?: VmState;
  spec?: VmSpec;
  runtime?: VmRuntime | null;
  exit?: VmExit | null;
  warning?: string | null;
  intent?: VmIntent | null;
  owner?: Owner | null;
  startedAt?: string;
}

/** Changes a row; a change of state must be a legal one. */
export function updateVm(db: Database, vm: VmRecord, change: VmChange): VmRecord {
  if (change.state) assertTransition(vm.state, change.state);
  const next: VmRecord = {
    ...vm,
    name: change.name ?? vm.name,
    state: change.state ?? vm.state,
    spec: change.spec ?? vm.spec,
    runtime: change.runtime === undefined ? vm.runtime : (change.runtime ?? undefined),
    exit: change.exit === undefined ? vm.exit : (change.exit ?? undefined),
    warning: change.warning === undefined ? vm.warning : (change.warning ?? undefined),
    intent: change.intent === undefined ? vm.intent : (change.intent ?? undefined),
    owner: change.owner === undefined ? vm.owner : (change.owner ?? undefined),
    startedAt: change.startedAt ?? vm.startedAt,
  };
  const statement = db.query(
    `UPDATE vms SET name = $name, state = $state, spec = $spec, runtime = $runtime, exit = $exit, warning = $warning,
       intent = $intent, owner = $owner, started_at = $startedAt
     WHERE id = $id`,
  );
  const values = {
    id: next.id,
    name: next.name,
    state: next.state,
    spec: JSON.stringify(next.spec),
    runtime: next.runtime ? JSON.stringify(next.runtime) : null,
    exit: next.exit ? JSON.stringify(next.exit) : null,
    warning: next.warning ?? null,
    intent: next.intent ?? null,
    owner: next.owner ? JSON.stringify(next.owner) : null,
    startedAt: next.startedAt ?? null,
  };
  try {
    statement.run(values);
  } catch (error) {
    throw nameTaken(error, `rename machine "${vm.name}" to "${next.name}"`, next.name) ?? error;
  }
  return next;
}

export function deleteVm(db: Database, id: string): void {
  db.query("DELETE FROM vms WHERE id = $id").run({ id });
}

/** Of a machine that runs, where it has IPv6. */
export function machineAddress6({ runtime }: VmRecord): Address | undefined {
  return tryParseAddress(runtime?.address6 ?? "");
}

/** Where the host and other machines reach it; undefined in the modes without an address of its own. */
export function machineAddress({ spec, runtime }: VmRecord): Address | undefined {
  return tryParseAddress(runtime?.address ?? spec.address ?? "");
}

/** Where this process can connect to it. */
export function reachableAddress(vm: VmRecord): Address | undefined {
  return vm.runtime?.isNamespaced ? undefined : machineAddress(vm);
}

/** When the machine is to be removed; undefined when it stays. */
export function expiryOf({ spec, createdAt }: VmRecord): string | undefined {
  if (spec.ttl_ms === undefined) return undefined;
  return new Date(Date.parse(createdAt) + spec.ttl_ms).toISOString();
}

export function toApi(vm: VmRecord): Vm {
  const { spec, runtime } = vm;
  return {
    id: vm.id,
    name: vm.name,
    state: vm.state,
    image: vm.image,
    kernel: vm.kernel,
    mode: spec.mode,
    cpus: spec.cpus,
    memory_mib: spec.memory_mib,
    disk_bytes: spec.disk_bytes,
    network: {
      mode: spec.network,
      address: machineAddress(vm),
      address6: machineAddress6(vm),
      mac: spec.network === "none" ? undefined : spec.mac,
      ports: spec.ports && [...spec.ports],
      networks: spec.networks && [...spec.networks],
      policy: spec.allow && { allow: [...spec.allow], ...(spec.ask ? { ask: true } : {}) },
    },
    secrets: spec.secrets && [...spec.secrets],
    sshAgent: spec.sshAgent,
    command: spec.command && [...spec.command],
    volumes: spec.volumes && [...spec.volumes],
    shares: spec.shares && [...spec.shares],
    guest: spec.guest,
    monitor: spec.monitor,
    vmm: runtime?.handle && {
      driver: runtime.handle.driver,
      accelerator: runtime.handle.accelerator,
      pid: runtime.handle.pid,
    },
    template: runtime?.template,
    snapshot: spec.snapshot,
    forkOf: spec.forkOf,
    foreground: vm.owner && { pid: vm.owner.pid },
    token: vm.token,
    checks: runtime?.checks?.length ? runtime.checks : undefined,
    createdAt: vm.createdAt,
    hostname: spec.hostname,
    labels: spec.labels,
    pending: vm.state !== "stopped" && spec.pending?.length ? [...spec.pending] : undefined,
    restart: spec.restart,
    expiresAt: expiryOf(vm),
    limits: shownLimits(spec.limits),
    idleStop_ms: spec.idleStop_ms,
    idleSuspend_ms: spec.idleSuspend_ms,
    startedAt: vm.startedAt,
    exit: vm.exit,
    warning: vm.warning,
  };
}

function shownLimits(limits: VmSpec["limits"] = {}): Vm["limits"] {
  const set = Object.entries(limits).filter(([, limit]) => limit);
  return set.length > 0 ? Object.fromEntries(set) : undefined;
}

function fromRow(row: VmRow): VmRecord {
  return {
    id: row.id,
    name: row.name,
    state: row.state,
    imageId: row.image_id,
    image: row.image,
    kernel: row.kernel,
    spec: row.spec,
    runtime: row.runtime ?? undefined,
    exit: row.exit ?? undefined,
    warning: row.warning ?? undefined,
    intent: row.intent ?? undefined,
    owner: row.owner ?? undefined,
    token: row.token ?? undefined,
    createdAt: row.created_at,
    startedAt: row.started_at ?? undefined,
  };
}
