/**
 * Makes the template of an image's next machines while its first one still starts, as the daemon's own machine: it has
 * no record, is not listed, and gives way to machines that somebody wants. If the daemon is killed it ends with it,
 * and the next one removes its directories, which belong to no machine.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { getLogger } from "@logtape/logtape";
import { throwIfAborted } from "#base/abort.ts";
import { messageOf } from "#base/error.ts";
import { newId } from "#base/id.ts";
import { macAddress } from "#net/names.ts";
import type { VmDeps } from "#vm/deps.ts";
import { makeFolder } from "#vm/folder.ts";
import { modulesOf } from "#vm/image-boot.ts";
import { assertFits } from "#vm/life/admission.ts";
import { cleanUp } from "#vm/life/boot.ts";
import { hostBootId } from "#vm/life/boot-id.ts";
import { driverFor } from "#vm/life/choose-driver.ts";
import { type InAdvance, templateFor } from "#vm/life/template.ts";
import { listVms, reservedAddresses, type VmRecord } from "#vm/records.ts";
import type { Machine } from "#vmm/driver.ts";
import { setShare } from "#vmm/priority.ts";
import type { NextTemplates } from "./next-templates.ts";
import { planBoot } from "./plan.ts";

const log = getLogger(["banger", "vm"]);

export class TemplateMaker implements NextTemplates {
  readonly ids = new Set<string>();
  readonly #deps: VmDeps;
  readonly #stop = new AbortController();
  /** Of the one that is being made; there is one at a time. */
  #current: { abort: AbortController; done: Promise<void> } | undefined;
  #last: Promise<void> = Promise.resolve();

  constructor(deps: VmDeps) {
    this.#deps = deps;
  }

  begin(vm: VmRecord, provisioned: string): void {
    if (!this.#deps.templates || vm.spec.isBuild || this.#stop.signal.aborted) return;
    this.#last = this.#last.then(() => this.#makeInTurn(vm, provisioned));
  }

  async giveWay(): Promise<boolean> {
    const current = this.#current;
    current?.abort.abort();
    await current?.done;
    return current !== undefined;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#last;
  }

  /** Never rejects: the next machine makes the template itself then. */
  async #makeInTurn(vm: VmRecord, provisioned: string): Promise<void> {
    const abort = new AbortController();
    const signal = AbortSignal.any([abort.signal, this.#stop.signal]);
    const work = async (): Promise<void> => {
      try {
        throwIfAborted(signal);
        const isMade = await this.#make(likeIt(this.#deps, vm, provisioned), signal);
        if (isMade) log.info("{image}: template made in advance", { image: vm.image });
      } catch (error) {
        const message = messageOf(error);
        log.info("{image}: no template made in advance: {message}", { image: vm.image, message });
      }
    };
    const done = work();
    this.#current = { abort, done };
    await done;
    this.#current = undefined;
  }

  async #make(like: VmRecord, signal: AbortSignal): Promise<boolean> {
    const deps = this.#deps;
    const { driver, reason } = driverFor(deps, like.spec);
    if (!driver.features.snapshot) return false;
    const image = deps.images.show(like.imageId);
    const paths = deps.config.paths.vm(like.id);
    assertFits(listVms(deps.db), { vm: like, folder: deps.config.paths.vms });
    const isPooled = like.spec.network === "nat" || like.spec.network === "host";
    using held = isPooled ? deps.network.holdAddress(reservedAddresses(deps.db)) : undefined;
    const vm = { ...like, spec: { ...like.spec, address: held?.address } };
    this.ids.add(vm.id);
    try {
      await makeFolder(deps, vm, { isDiskLater: true, signal });
      mkdirSync(paths.runtime, { recursive: true, mode: 0o700 });
      const own = { driver, image, signal, kernelArgs: [], endsWithUs: true };
      const { kernel, record, spec, lowers, initrd } = await planBoot(deps, vm, own);
      const parts = {
        ...{ driver, reason, image, spec, lowers },
        kernelDigest: kernel.digest,
        modules: modulesOf(deps, vm),
        makeInitrd: (identity: Partial<typeof record>) => initrd({ ...record, ...identity }),
      };
      const inAdvance = givingWay(spec.cgroup);
      const template = await templateFor(deps, vm, parts, { signal, inAdvance });
      // It was removed meanwhile: no machine can be of this kind.
      if (template && !deps.images.find(image.id)) deps.templates?.drop(template.key);
      return template !== undefined;
    } finally {
      await cleanUp(deps, vm);
      rmSync(paths.folder, { recursive: true, force: true });
      this.ids.delete(vm.id);
    }
  }
}

/** As the next machine of the image will be, if it is created with the same options. */
function likeIt({ cgroups }: VmDeps, vm: VmRecord, provisioned: string): VmRecord {
  const id = newId();
  const { mode, cpus, memory_mib, disk_bytes, network, monitor, volumes, shares } = vm.spec;
  const machineId = randomBytes(16).toString("hex");
  return {
    ...vm,
    id,
    name: vm.image,
    state: "starting",
    runtime: { hostBootId: hostBootId(), cgroup: cgroups && join(cgroups, id) },
    token: undefined,
    startedAt: undefined,
    spec: {
      ...{ mode, cpus, memory_mib, disk_bytes, network, monitor, volumes, shares },
      ...{ provisioned, machineId, mac: macAddress(id), env: {} },
    },
  };
}

/** It has few of the processors until a machine waits for it. */
function givingWay(cgroup: string | undefined): InAdvance {
  let machine: Machine | undefined;
  let isAwaited = false;
  return {
    onBooted(booted) {
      machine = booted;
      if (!isAwaited) setShare({ pid: booted.handle.pid, cgroup }, "low");
    },
    onAwaited() {
      isAwaited = true;
      if (machine) setShare({ pid: machine.handle.pid, cgroup }, "normal");
    },
  };
}
