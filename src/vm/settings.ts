/** Changes to a machine after its creation: settings, name, and clones. */
import { randomBytes } from "node:crypto";
import type { PendingSetting, Vm, VmSettings } from "#api/vm.ts";
import { VM_LABELS_MAX } from "#api/vm.ts";
import { formatDuration } from "#base/duration.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { newId } from "#base/id.ts";
import { formatSize } from "#base/size.ts";
import { assertLimitable, hasBandwidth } from "#net/bandwidth/bandwidth.ts";
import { macAddress } from "#net/names.ts";
import { assertPossible, hostSize } from "#vm/life/admission.ts";
import type { BootOptions } from "#vm/life/boot.ts";
import type { Lifecycle } from "#vm/life/lifecycle.ts";
import { addressOf, type Internal } from "./create.ts";
import type { VmDeps } from "./deps.ts";
import { requireState } from "./machine.ts";
import { makeName } from "./names.ts";
import { findVm, getVm, insertVm, toApi, type VmRecord } from "./records.ts";
import { bandwidthOf, diskLimits, type StartedWith, type VmSpec } from "./spec.ts";

const MINUTE_MS = 60_000;

export class VmSettingsService {
  readonly #deps: VmDeps;
  readonly #lifecycle: Lifecycle;

  constructor(deps: VmDeps, lifecycle: Lifecycle) {
    this.#deps = deps;
    this.#lifecycle = lifecycle;
  }

  /** What a running machine can only get at its next start is in its `pending` afterwards. */
  async set(ref: string, settings: VmSettings): Promise<Vm> {
    const { id } = getVm(this.#deps.db, ref);
    return await this.#lifecycle.inTurn(id, async () => {
      const vm = getVm(this.#deps.db, id);
      assertPossible(settings, hostSize(this.#deps.config.paths.vms), `change "${vm.name}"`);
      const spec = changedSpec(vm, settings);
      if (settings.ttl_ms) assertNotOver(vm, settings.ttl_ms);
      assertLimitable(bandwidthOf(spec), spec.network);
      if (settings.limits) await this.#limit(vm, spec);
      const change = { spec: { ...spec, ...pendingAfter(vm, { spec }) } };
      return toApi(this.#lifecycle.configure(id, change));
    });
  }

  /** What a machine that does not run gets at its start. */
  async #limit(vm: VmRecord, { limits }: VmSpec): Promise<void> {
    const running = this.#lifecycle.running(vm.id);
    if (!running) return;
    const bandwidth = bandwidthOf({ limits });
    // Also where it is the same: a daemon may have ended between the tap's change and the store's.
    if (hasBandwidth(bandwidth) || hasBandwidth(bandwidthOf(vm.spec))) {
      await this.#deps.network.setBandwidth(vm.id, bandwidth);
    }
    await running.link.machine.limitDisks(diskLimits({ limits }) ?? {});
  }

  /** Names are looked up in the store, so that the new one counts at once; the hostname follows at the next start. */
  async rename(ref: string, to: string): Promise<Vm> {
    const { id } = getVm(this.#deps.db, ref);
    return await this.#lifecycle.inTurn(id, async () => {
      const vm = getVm(this.#deps.db, id);
      const spec = { ...vm.spec, ...pendingAfter(vm, { name: to }) };
      return toApi(this.#lifecycle.change(id, { name: to, spec }));
    });
  }

  /**
   * A stopped machine with a copy of the disk and an identity of its own. Published ports stay with
   * the original. Nothing is left when it fails.
   */
  async clone(
    ref: string,
    { to, token, ...options }: BootOptions & Pick<Internal, "token"> & { to?: string | undefined },
  ): Promise<Vm> {
    const { db, config } = this.#deps;
    const source = getVm(db, ref);
    return await this.#lifecycle.inTurn(source.id, async () => {
      const vm = getVm(db, source.id);
      requireState(vm, "clone", ["stopped"]);
      const id = newId();
      return await this.#lifecycle.whileBusy(id, async () => {
        this.#createCloneRecord(vm, { id, name: to, token });
        options.onProgress?.({ step: "disk", message: `Copying the disk of ${vm.name}` });
        try {
          const { disk } = config.paths.vm(vm.id);
          await this.#lifecycle.make(id, { disk, signal: options.signal });
          return toApi(getVm(db, id));
        } catch (error) {
          await this.#lifecycle.removal.remove(id, { force: true }).catch((failure) => {
            throw new BangerError("internal", `Cannot undo the clone: ${messageOf(failure)}`, {
              cause: error,
            });
          });
          throw error;
        }
      });
    });
  }

  #createCloneRecord(
    vm: VmRecord,
    { id, name, token }: Pick<Internal, "token"> & { id: string; name: string | undefined },
  ): void {
    const { db, owner } = this.#deps;
    const {
      ports: _,
      pending: __,
      address: ___,
      hostname: ____,
      started: _____,
      snapshot: ______,
      forkOf: _______,
      ...spec
    } = vm.spec;
    db.transaction(() => {
      insertVm(db, {
        id,
        name: name ?? makeName((each) => findVm(db, each) !== undefined),
        imageId: vm.imageId,
        kernel: vm.kernel,
        owner,
        token,
        spec: {
          ...spec,
          ...addressOf(this.#deps, spec.network),
          mac: macAddress(id),
          machineId: randomBytes(16).toString("hex"),
        },
      });
    }).immediate();
  }
}

export function changedSpec(vm: VmRecord, settings: VmSettings): VmSpec {
  const { cpus, memory_mib, disk_bytes, hostname, restart, ttl_ms } = settings;
  const { idleStop_ms, idleSuspend_ms } = settings;
  const old = vm.spec;
  // What it was to grow to at the next start has not been done yet.
  const present_bytes = old.started?.disk_bytes ?? old.disk_bytes;
  if (disk_bytes !== undefined && disk_bytes < present_bytes) {
    throw new BangerError(
      "invalid_argument",
      `Cannot shrink the disk of "${vm.name}" from ${formatSize(present_bytes)} to ${formatSize(disk_bytes)}`,
      { hint: "Disks can only grow; create a machine with a smaller disk and copy your files" },
    );
  }
  const spec: VmSpec = {
    ...old,
    cpus: cpus ?? old.cpus,
    memory_mib: memory_mib ?? old.memory_mib,
    disk_bytes: disk_bytes ?? old.disk_bytes,
    env: withChanges(old.env, settings.env),
    ...(hostname === undefined ? {} : { hostname }),
    ...(restart === undefined ? {} : { restart }),
    ...(settings.limits ? { limits: { ...old.limits, ...settings.limits } } : {}),
    ...(idleStop_ms === undefined ? {} : { idleStop_ms }),
    ...(idleSuspend_ms === undefined ? {} : { idleSuspend_ms }),
    ...(ttl_ms === undefined || ttl_ms === null ? {} : { ttl_ms }),
    ...(settings.labels ? { labels: withChanges(old.labels ?? {}, settings.labels) } : {}),
  };
  if (Object.keys(spec.labels ?? {}).length > VM_LABELS_MAX) {
    throw new BangerError(
      "limit_exceeded",
      `too many labels on "${vm.name}": more than ${VM_LABELS_MAX}`,
    );
  }
  if (ttl_ms === null) delete spec.ttl_ms;
  return spec;
}

/** An age that the machine already has would remove it at once, which is what rm is for. */
export function assertNotOver({ name, createdAt }: VmRecord, ttl_ms: number): void {
  const age_ms = Date.now() - Date.parse(createdAt);
  if (ttl_ms > age_ms) return;
  const [ttl, age, longer] = [ttl_ms, age_ms, roundedUp(age_ms + ttl_ms)].map(formatDuration);
  throw new BangerError(
    "invalid_argument",
    `Cannot set --ttl of "${name}" to ${ttl}: the machine is already ${age} old`,
    {
      hint: `The time counts from creation: use --ttl ${longer}, or remove it now: banger vm rm --force ${name}`,
    },
  );
}

/** To what formatDuration() shows: it leaves the rest out. */
function roundedUp(ms: number): number {
  const unit_ms =
    ms < 60 * MINUTE_MS ? 1000 : ms < 48 * 60 * MINUTE_MS ? MINUTE_MS : 60 * MINUTE_MS;
  return Math.ceil(ms / unit_ms) * unit_ms;
}

function withChanges(
  old: Record<string, string>,
  changes: Record<string, string | null> = {},
): Record<string, string> {
  const all = Object.entries({ ...old, ...changes });
  return Object.fromEntries(all.filter((each): each is [string, string] => each[1] !== null));
}

/** What differs from what the machine, which may run, was started with; that is kept until its next start. */
export function pendingAfter(
  vm: VmRecord,
  { spec = vm.spec, name = vm.name }: { spec?: VmSpec; name?: string },
): Pick<VmSpec, "pending" | "started"> {
  if (vm.state === "stopped") return {};
  const started = vm.spec.started ?? startedWith(vm);
  const news = pendingOf(startedWith({ spec, name }), started);
  // Of a machine that an older banger changed, what it was started with is not known.
  const unknown = vm.spec.started ? [] : (vm.spec.pending ?? []);
  return { started, pending: [...new Set([...unknown, ...news])] };
}

function startedWith({ spec, name }: Pick<VmRecord, "spec" | "name">): StartedWith {
  const { cpus, memory_mib, disk_bytes, env, hostname } = spec;
  return { cpus, memory_mib, disk_bytes, env, name, hostname };
}

function pendingOf(now: StartedWith, then: StartedWith): PendingSetting[] {
  const news: PendingSetting[] = [];
  if (now.cpus !== then.cpus) news.push("cpus");
  if (now.memory_mib !== then.memory_mib) news.push("memory");
  if (now.disk_bytes !== then.disk_bytes) news.push("disk");
  if ((now.hostname ?? now.name) !== (then.hostname ?? then.name)) {
    news.push(now.hostname === then.hostname ? "name" : "hostname");
  }
  if (!Bun.deepEquals(now.env, then.env)) news.push("env");
  return news;
}
