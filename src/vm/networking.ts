/** What of a machine's network can be changed, whether it runs or not. */
import type { PortEnd, PortRequest } from "#api/network.ts";
import type { Vm } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { checkPorts, hostEnd, isSamePort, type PublishedPort } from "#net/ports/spec.ts";
import type { VmDeps } from "./deps.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { getVm, toApi, type VmRecord } from "./records.ts";

export class VmNetworking {
  readonly #deps: VmDeps;
  readonly #lifecycle: Lifecycle;

  constructor(deps: VmDeps, lifecycle: Lifecycle) {
    this.#deps = deps;
    this.#lifecycle = lifecycle;
  }

  /** Adds to what is published; what is there already stays as it is. `conflict`: taken. */
  async publish(ref: string, requests: readonly PortRequest[]): Promise<Vm> {
    return await this.#inTurn(ref, async (vm) => {
      const old = vm.spec.ports ?? [];
      const added = checkPorts(requests).filter(
        (port) => !old.some((each) => isSamePort(each, port)),
      );
      await this.#setPorts(vm, [...old, ...added]);
    });
  }

  /** Connections through them are cut. `not_found` for one that is not published. */
  async unpublish(ref: string, ends: readonly PortEnd[]): Promise<Vm> {
    return await this.#inTurn(ref, async (vm) => {
      const left = new Map((vm.spec.ports ?? []).map((port) => [hostEnd(port), port]));
      for (const port of checkPorts(ends.map((end) => ({ ...end, guestPort: 1 })))) {
        if (left.delete(hostEnd(port))) continue;
        throw new BangerError(
          "not_found",
          `Cannot close ${hostEnd(port)}: machine "${vm.name}" does not publish it`,
          { hint: `See what it does: banger vm port list ${vm.name}` },
        );
      }
      await this.#setPorts(vm, [...left.values()]);
    });
  }

  async #setPorts(vm: VmRecord, wanted: readonly PublishedPort[]): Promise<void> {
    const { ports } = this.#lifecycle;
    if (this.#lifecycle.live(vm.id)) await ports.set(vm, wanted);
    else ports.record(vm, wanted);
  }

  /** Between the machine's other operations. */
  async #inTurn(ref: string, change: (vm: VmRecord) => Promise<void>): Promise<Vm> {
    const { db } = this.#deps;
    const { id } = getVm(db, ref);
    await this.#lifecycle.turns.run(id, () => change(getVm(db, id)));
    return toApi(getVm(db, id));
  }
}
