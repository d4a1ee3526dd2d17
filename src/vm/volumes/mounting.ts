/** Volumes of machines that exist: attached to and detached from a stopped one, and grown while one writes. */
import type { Volume, VolumeMount } from "#api/mount/mount.ts";
import { MOUNTS_MAX } from "#api/mount/mount.ts";
import type { Vm } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import type { VmDeps } from "#vm/deps.ts";
import type { Lifecycle } from "#vm/life/lifecycle.ts";
import { getVm, toApi, type VmRecord } from "#vm/records.ts";
import { growStep } from "./attach.ts";
import { mountsOf } from "./check.ts";
import { holdersOf } from "./hold.ts";

export class VolumeMounts {
  readonly #deps: Pick<VmDeps, "db" | "volumes">;
  readonly #lifecycle: Pick<Lifecycle, "inTurn" | "running" | "change">;

  constructor(
    deps: Pick<VmDeps, "db" | "volumes">,
    lifecycle: Pick<Lifecycle, "inTurn" | "running" | "change">,
  ) {
    this.#deps = deps;
    this.#lifecycle = lifecycle;
  }

  /** Mounted from the next start on; created if it does not exist. */
  async attach(ref: string, mount: VolumeMount, token: string | undefined): Promise<Vm> {
    return await this.#change(ref, "attach", async ({ name, spec }) => {
      const volumes = [...(spec.volumes ?? []), mount];
      if (volumes.length > MOUNTS_MAX) {
        throw new BangerError(
          "limit_exceeded",
          `Cannot attach volume "${mount.volume}" to "${name}": it has ${MOUNTS_MAX} volumes already`,
          {
            hint: `Detach one first: banger vm volume detach ${name} ${spec.volumes?.[0]?.volume}`,
          },
        );
      }
      const { shares, guest } = spec;
      const next = mountsOf({ volumes, shares, guest }, spec);
      await this.#deps.volumes.ensure([mount.volume], token);
      return next.volumes ?? [];
    });
  }

  /** The volume and what is on it stay. */
  async detach(ref: string, volume: string): Promise<Vm> {
    return await this.#change(ref, "detach", async ({ name, spec }) => {
      const volumes = spec.volumes ?? [];
      const kept = volumes.filter((each) => each.volume !== volume);
      if (kept.length < volumes.length) return kept;
      throw new BangerError(
        "not_found",
        `Cannot detach volume "${volume}" from machine "${name}": it does not mount it`,
        {
          hint: `List its mounts with: banger vm show ${name}`,
        },
      );
    });
  }

  /**
   * Grows a volume, and its file system: at once in a machine that writes to it, where the VMM can; else when it is
   * next mounted for writing. `invalid_argument`, `conflict`.
   */
  async resize(name: string, size_bytes: number): Promise<Volume> {
    const { db, volumes } = this.#deps;
    const [holder] = holdersOf(db, name);
    if (!holder) return volumes.grow(name, size_bytes);
    return await this.#lifecycle.inTurn(holder.id, async () => {
      const vm = getVm(db, holder.id);
      const machine = this.#lifecycle.running(vm.id)?.link.machine;
      const isWriter = vm.spec.volumes?.some((each) => each.volume === name && !each.readOnly);
      const growDrive = vm.state === "running" && isWriter ? machine?.growDrive : undefined;
      // It may have been stopped meanwhile; grow() throws if one has it.
      if (!growDrive) return volumes.grow(name, size_bytes);
      const { path } = volumes.diskOf(name);
      volumes.assertGrows(name, size_bytes);
      const index = await growDrive.call(machine, path, size_bytes);
      const grown = volumes.setSize(name, size_bytes);
      await this.#growInside(vm, { name, index, size_bytes });
      return grown;
    });
  }

  async #growInside(
    vm: VmRecord,
    { name, index, size_bytes }: { name: string; index: number; size_bytes: number },
  ): Promise<void> {
    const path = vm.spec.volumes?.find((each) => each.volume === name)?.path ?? "";
    try {
      const agent = await this.#lifecycle.running(vm.id)?.link.agent();
      await agent?.setUp(growStep({ index, path, size_bytes }));
    } catch (cause) {
      throw new BangerError(
        "guest",
        `Cannot grow the file system of volume "${name}" in machine "${vm.name}": its disk has grown already`,
        { hint: `It grows at the next start: banger vm restart ${vm.name}`, cause },
      );
    }
  }

  async #change(
    ref: string,
    verb: "attach" | "detach",
    change: (vm: VmRecord) => Promise<readonly VolumeMount[]>,
  ): Promise<Vm> {
    const { id } = getVm(this.#deps.db, ref);
    return await this.#lifecycle.inTurn(id, async () => {
      const vm = getVm(this.#deps.db, id);
      if (vm.state !== "stopped") throw notStopped(vm, verb);
      const volumes = await change(vm);
      const { volumes: _, ...spec } = vm.spec;
      const next = volumes.length > 0 ? { ...spec, volumes } : spec;
      return toApi(this.#lifecycle.change(id, { spec: next }));
    });
  }
}

/** No VMM here has a bus that drives can be added to: Firecracker's and QEMU's microvm have fixed ones. */
function notStopped({ name, state }: VmRecord, verb: "attach" | "detach"): BangerError {
  const where = verb === "attach" ? "to" : "from";
  return new BangerError(
    "invalid_state",
    `Cannot ${verb} a volume ${where} machine "${name}": it is ${state}, and drives change only while a machine is stopped`,
    {
      hint: `Stop it first: banger vm stop ${name}, then repeat this command, then: banger vm start ${name}`,
    },
  );
}
