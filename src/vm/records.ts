/** Machine rows of the store. The only place that writes the `vms` table. */
import type { Database } from "bun:sqlite";
import type { ServiceCheck } from "#api/health.ts";
import {
  type BootMode,
  type Monitor,
  type NetworkMode,
  type PendingSetting,
  type RestartPolicy,
  type Vm,
  type VmCreate,
  type VmExit,
  type VmState,
  vmName,
} from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { didYouMean } from "#base/similar.ts";
import { type Address, tryParseAddress } from "#net/address.ts";
import type { PublishedPort } from "#net/ports/spec.ts";
import type { Owner } from "#vm/life/owner.ts";
import type { MachineHandle } from "#vmm/driver.ts";
import { assertTransition } from "./machine.ts";

/** What was asked for when the machine was made, with every default filled in. */
export interface VmSpec {
  mode: BootMode;
  cpus: number;
  memory_mib: number;
  disk_bytes: number;
  network: NetworkMode;
  /** For the modes that use the pool; the machine's own for life. */
  address?: string;
  mac: string;
  /** Absent: as the configuration says. */
  monitor?: Monitor;
  /** Absent: none. */
  ports?: readonly PublishedPort[];
  /** Rules as the user wrote them; absent: no policy. */
  allow?: readonly string[];
  /** Named networks that it is on; absent: none. */
  networks?: readonly string[];
  machineId: string;
  env: Record<string, string>;
  /** Absent: the machine's name. */
  hostname?: string;
  labels?: Record<string, string>;
  /** Changed since it was started. */
  pending?: readonly PendingSetting[];
  /** What it was started with, where something was changed since then. */
  started?: StartedWith;
  /** Id of the provisioned layer of its image that it stands on, for life. */
  provisioned?: string;
  /** Lives as long as the command it was made for, and is removed with it. */
  ephemeral?: boolean;
  /** Commands of an image build run in it: it gets no key, since what is in it becomes an image. */
  isBuild?: boolean;
  /** In direct mode: what it runs for as long as it lives. */
  command?: readonly string[];
  commandOptions?: VmCreate["commandOptions"];
  /** It is removed, running or not, this long after it was made. */
  ttl_ms?: number;
  /** It is stopped when nobody has used it for this long. */
  idleStop_ms?: number;
  /** Absent: no. */
  restart?: RestartPolicy;
}

/** What a machine only gets when it starts. */
export interface StartedWith
  extends Pick<VmSpec, "cpus" | "memory_mib" | "disk_bytes" | "env" | "hostname"> {
  name: string;
}

/** What is wanted of a machine, whatever it does now; see the schema. */
export type VmIntent = "create" | "run";

/** What a started machine holds outside the store. */
export interface VmRuntime {
  /** Kernel's boot id: after a reboot of the host none of this exists any more. */
  hostBootId: string;
  /** Folder of its control group. */
  cgroup?: string;
  /** Absent until the monitor runs. */
  handle?: MachineHandle;
  /** What it was given, where that is not what it was made with: a tap comes with its own address. */
  address?: string;
  address6?: string;
  /** Services that were looked for in it, as they were last. */
  checks?: ServiceCheck[];
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
  createdAt: string;
  startedAt: string | undefined;
}

interface Row {
  id: string;
  name: string;
  state: VmState;
  image_id: string;
  image: string;
  kernel: string;
  spec: string;
  runtime: string | null;
  exit: string | null;
  warning: string | null;
  intent: VmIntent | null;
  owner: string | null;
  created_at: string;
  started_at: string | null;
}

const SELECT =
  "SELECT vms.*, images.name AS image FROM vms JOIN images ON images.id = vms.image_id";

export function listVms(db: Database): VmRecord[] {
  return (db.query(`${SELECT} ORDER BY vms.created_at, vms.id`).all() as Row[]).map(fromRow);
}

/** Whether a machine of the daemon's runs, or is to be started again. */
export function hasWork(db: Database): boolean {
  const states = "state IN ('starting', 'running', 'stopping') OR intent = 'run'";
  return db.query(`SELECT 1 FROM vms WHERE owner IS NULL AND (${states}) LIMIT 1`).get() !== null;
}

export function findVm(db: Database, ref: string): VmRecord | undefined {
  const row = db.query(`${SELECT} WHERE vms.name = $ref OR vms.id = $ref`).get({ ref });
  if (row) return fromRow(row as Row);
  const byPrefix = db.query(`${SELECT} WHERE substr(vms.id, 1, $length) = $ref LIMIT 2`);
  const rows = ref.length < 4 ? [] : (byPrefix.all({ ref, length: ref.length }) as Row[]);
  return rows.length === 1 && rows[0] ? fromRow(rows[0]) : undefined;
}

export function getVm(db: Database, ref: string): VmRecord {
  const found = findVm(db, ref);
  if (found) return found;
  const names = (db.query("SELECT name FROM vms").all() as { name: string }[]).map(
    ({ name }) => name,
  );
  throw new BangerError("not_found", `Cannot find machine "${ref}": there is none of that name`, {
    hint: didYouMean(ref, names, "See all machines with: banger vm list"),
  });
}

export interface NewVm {
  id: string;
  name: string;
  imageId: string;
  kernel: string;
  spec: VmSpec;
  owner?: Owner | undefined;
}

/** `already_exists` when the name is taken, also by a machine that another call is making. */
export function insertVm(db: Database, vm: NewVm): void {
  const name = vmName.parse(vm.name);
  try {
    db.query(
      `INSERT INTO vms (id, name, state, image_id, kernel, spec, intent, owner, created_at)
       VALUES ($id, $name, 'creating', $imageId, $kernel, $spec, 'create', $owner, $createdAt)`,
    ).run({
      id: vm.id,
      name,
      imageId: vm.imageId,
      kernel: vm.kernel,
      spec: JSON.stringify(vm.spec),
      owner: vm.owner ? JSON.stringify(vm.owner) : null,
      createdAt: new Date().toISOString(),
    });
  } catch (error) {
    throw nameTaken(error, `create machine "${name}"`, name) ?? error;
  }
}

/** Undefined when the statement failed for another reason. */
function nameTaken(error: unknown, action: string, name: string): BangerError | undefined {
  if (!(error instanceof Error && error.message.includes("vms.name"))) return undefined;
  return new BangerError("already_exists", `Cannot ${action}: the name is taken`, {
    hint: `Choose another name, or remove that machine first: banger vm rm ${name}`,
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
      ...(machineAddress(vm) ? { address: machineAddress(vm) } : {}),
      ...(machineAddress6(vm) ? { address6: machineAddress6(vm) } : {}),
      ...(spec.network === "none" ? {} : { mac: spec.mac }),
      ...(spec.ports ? { ports: [...spec.ports] } : {}),
      ...(spec.networks ? { networks: [...spec.networks] } : {}),
      ...(spec.allow ? { policy: { allow: [...spec.allow] } } : {}),
    },
    ...(spec.command ? { command: [...spec.command] } : {}),
    ...(spec.monitor ? { monitor: spec.monitor } : {}),
    ...(runtime?.handle
      ? {
          vmm: {
            driver: runtime.handle.driver,
            accelerator: runtime.handle.accelerator,
            pid: runtime.handle.pid,
          },
        }
      : {}),
    ...(vm.owner ? { foreground: { pid: vm.owner.pid } } : {}),
    ...(runtime?.checks?.length ? { checks: runtime.checks } : {}),
    createdAt: vm.createdAt,
    ...(spec.hostname ? { hostname: spec.hostname } : {}),
    ...(spec.labels ? { labels: spec.labels } : {}),
    ...(vm.state !== "stopped" && spec.pending?.length ? { pending: [...spec.pending] } : {}),
    ...(spec.restart ? { restart: spec.restart } : {}),
    ...(expiryOf(vm) ? { expiresAt: expiryOf(vm) } : {}),
    ...(spec.idleStop_ms ? { idleStop_ms: spec.idleStop_ms } : {}),
    ...(vm.startedAt ? { startedAt: vm.startedAt } : {}),
    ...(vm.exit ? { exit: vm.exit } : {}),
    ...(vm.warning ? { warning: vm.warning } : {}),
  };
}

function fromRow(row: Row): VmRecord {
  return {
    id: row.id,
    name: row.name,
    state: row.state,
    imageId: row.image_id,
    image: row.image,
    kernel: row.kernel,
    spec: JSON.parse(row.spec) as VmSpec,
    runtime: row.runtime ? (JSON.parse(row.runtime) as VmRuntime) : undefined,
    exit: row.exit ? (JSON.parse(row.exit) as VmExit) : undefined,
    warning: row.warning ?? undefined,
    intent: row.intent ?? undefined,
    owner: row.owner ? (JSON.parse(row.owner) as Owner) : undefined,
    createdAt: row.created_at,
    startedAt: row.started_at ?? undefined,
  };
}
