/** Changes to a machine's ports, networks and policy, whether it runs or not. */
import type { Decision, NamedNetwork, PolicyLog, PortEnd, PortRequest } from "#api/network.ts";
import type { Vm } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { checkPolicy, type Policy } from "#net/policy/policy.ts";
import { checkPorts, hostEnd, isSamePort, type PublishedPort } from "#net/ports/spec.ts";
import type { VmDeps } from "#vm/deps.ts";
import type { Lifecycle } from "#vm/life/lifecycle.ts";
import { isAsleep } from "#vm/machine.ts";
import { findVm, getVm, toApi, type VmRecord } from "#vm/records.ts";
import type { VmSpec } from "#vm/spec.ts";
import {
  changedRules,
  effectivePolicy,
  type PolicyChange,
  requirePolicy,
} from "./egress-policy.ts";
import {
  createNetwork,
  getNetwork,
  listNetworks,
  removeNetwork,
  requireNetworks,
} from "./networks.ts";

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
      const left = [...(vm.spec.ports ?? [])];
      for (const port of checkPorts(ends.map((end) => ({ ...end, guestPort: 1 })))) {
        const at = left.findIndex((each) => hostEnd(each) === hostEnd(port));
        if (at >= 0) {
          left.splice(at, 1);
          continue;
        }
        throw new BangerError(
          "not_found",
          `Cannot unpublish ${hostEnd(port)}: not published by machine "${vm.name}"`,
          { hint: `List published ports with: banger vm port list ${vm.name}` },
        );
      }
      await this.#setPorts(vm, left);
    });
  }

  /** What the machine may reach from now on; null is everything. */
  async setPolicy(
    ref: string,
    { allow, ask }: { allow: readonly string[] | null; ask?: boolean | undefined },
  ): Promise<Vm> {
    return await this.#inTurn(ref, (vm) => this.#setPolicy(vm, { allow: allow ?? undefined, ask }));
  }

  /** `invalid_state` for a machine without a policy, `not_found` for a rule that is not there. */
  async changePolicy(ref: string, change: PolicyChange): Promise<Vm> {
    return await this.#inTurn(ref, async (vm) => {
      const ask = change.ask ?? vm.spec.ask;
      await this.#setPolicy(vm, { allow: changedRules(vm, change), ask });
    });
  }

  async policyLog(ref: string): Promise<PolicyLog> {
    const vm = getVm(this.#deps.db, ref);
    if (!effectivePolicy(vm.spec)) {
      if (!vm.spec.sshAgent) requirePolicy(vm);
      const decisions = this.#deps.network.decisionsOf(vm.id);
      return { rules: [], denied_packets: 0, connections: [], names: [], decisions };
    }
    const log = await this.#deps.network.policyLog(vm.id);
    if (log) return log;
    throw new BangerError(
      "invalid_state",
      `Cannot read the policy log of "${vm.name}": the machine is not running`,
      {
        hint: "The kernel keeps the log only while the machine is running",
      },
    );
  }

  /** Decisions about a machine, those that are kept first, until `signal` fires. */
  followPolicy(ref: string, signal: AbortSignal | undefined): AsyncGenerator<Decision, void> {
    const vm = getVm(this.#deps.db, ref);
    if (!effectivePolicy(vm.spec) && !vm.spec.sshAgent) requirePolicy(vm);
    return this.#deps.network.followPolicy(vm.id, signal);
  }

  /** For a daemon that takes up the machines of an earlier one. */
  policyOf(id: string): Policy | undefined {
    const vm = findVm(this.#deps.db, id);
    return vm && effectivePolicy(vm.spec);
  }

  networks(): NamedNetwork[] {
    return listNetworks(this.#deps.db);
  }

  network(name: string): NamedNetwork {
    return getNetwork(this.#deps.db, name);
  }

  createNetwork(name: string): NamedNetwork {
    return createNetwork(this.#deps.db, name);
  }

  removeNetwork(name: string): void {
    removeNetwork(this.#deps.db, name);
  }

  /** Safe to repeat. */
  async connect(network: string, ref: string): Promise<Vm> {
    return await this.#inTurn(ref, (vm) =>
      this.#setNetworks(vm, [...(vm.spec.networks ?? []), network]),
    );
  }

  /** `not_found` for a machine that is not on it. */
  async disconnect(network: string, ref: string): Promise<Vm> {
    return await this.#inTurn(ref, async (vm) => {
      const networks = vm.spec.networks ?? [];
      if (!networks.includes(network)) {
        throw new BangerError(
          "not_found",
          `Cannot disconnect machine "${vm.name}" from network "${network}": not connected`,
          { hint: "List networks and their machines with: banger network list" },
        );
      }
      await this.#setNetworks(
        vm,
        networks.filter((name) => name !== network),
      );
    });
  }

  async #setNetworks(vm: VmRecord, wanted: readonly string[]): Promise<void> {
    const { db, network } = this.#deps;
    const { networks: _, ...spec } = vm.spec;
    const names = requireNetworks(db, { names: wanted, mode: spec.network });
    this.#record(vm, { ...spec, networks: names.length > 0 ? names : undefined });
    if (!this.#lifecycle.running(vm.id)) return;
    try {
      await network.setNetworks(vm.id, names);
    } catch (error) {
      this.#record(vm, vm.spec);
      throw error;
    }
  }

  async #setPolicy(
    vm: VmRecord,
    wanted: { allow: readonly string[] | undefined; ask: boolean | undefined },
  ): Promise<void> {
    const { allow: _, ask: __, ...rest } = vm.spec;
    const allow = wanted.allow && checkPolicy(wanted.allow, rest.network);
    const spec = { ...rest, allow, ...(allow && wanted.ask ? { ask: true } : {}) };
    const policy = effectivePolicy(spec);
    // First, since a daemon that takes up the machine goes by what is recorded.
    this.#record(vm, spec);
    if (!this.#lifecycle.running(vm.id) || !(policy || effectivePolicy(vm.spec))) return;
    try {
      await this.#deps.network.setPolicy(vm.id, policy);
    } catch (error) {
      this.#record(vm, vm.spec);
      throw error;
    }
  }

  #record({ id }: VmRecord, spec: VmSpec): void {
    this.#lifecycle.change(id, { spec });
  }

  async #setPorts(vm: VmRecord, wanted: readonly PublishedPort[]): Promise<void> {
    const { ports } = this.#lifecycle;
    // A suspended machine is woken by who connects.
    const isOpen = this.#lifecycle.running(vm.id) !== undefined || isAsleep(vm.state);
    if (isOpen) await ports.set(vm, wanted);
    else ports.record(vm, wanted);
  }

  /** Between the machine's other operations. */
  async #inTurn(ref: string, change: (vm: VmRecord) => Promise<void>): Promise<Vm> {
    const { db } = this.#deps;
    const { id } = getVm(db, ref);
    await this.#lifecycle.inTurn(id, () => change(getVm(db, id)));
    return toApi(getVm(db, id));
  }
}
