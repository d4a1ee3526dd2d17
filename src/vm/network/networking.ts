/** Changes to a machine's ports, networks and policy, whether it runs or not. */
import type { NamedNetwork, PolicyLog, PortEnd, PortRequest } from "#api/network.ts";
import type { Vm } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { checkPolicy, type Policy, parsePolicy } from "#net/policy/policy.ts";
import { checkPorts, hostEnd, isSamePort, type PublishedPort } from "#net/ports/spec.ts";
import type { VmDeps } from "#vm/deps.ts";
import type { Lifecycle } from "#vm/life/lifecycle.ts";
import { isAsleep } from "#vm/machine.ts";
import { findVm, getVm, toApi, type VmRecord } from "#vm/records.ts";
import type { VmSpec } from "#vm/spec.ts";
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
  async setPolicy(ref: string, allow: readonly string[] | null): Promise<Vm> {
    return await this.#inTurn(ref, (vm) => this.#setAllow(vm, allow ?? undefined));
  }

  /** `invalid_state` for a machine without a policy, `not_found` for a rule that is not there. */
  async changePolicy(
    ref: string,
    { add = [], remove = [] }: { add?: string[] | undefined; remove?: string[] | undefined },
  ): Promise<Vm> {
    return await this.#inTurn(ref, async (vm) => {
      const rules = new Set(requirePolicy(vm));
      for (const rule of remove) {
        if (rules.delete(rule.trim())) continue;
        throw new BangerError(
          "not_found",
          `no such rule "${rule}" in the policy of machine "${vm.name}"`,
          { hint: `List its rules with: banger vm policy show ${vm.name}` },
        );
      }
      await this.#setAllow(vm, [...rules, ...add]);
    });
  }

  async policyLog(ref: string): Promise<PolicyLog> {
    const vm = getVm(this.#deps.db, ref);
    requirePolicy(vm);
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

  /** For a daemon that takes up the machines of an earlier one. */
  policyOf(id: string): Policy | undefined {
    const allow = findVm(this.#deps.db, id)?.spec.allow;
    return allow && parsePolicy(allow);
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

  async #setAllow(vm: VmRecord, wanted: readonly string[] | undefined): Promise<void> {
    const { allow: _, ...spec } = vm.spec;
    const allow = wanted && checkPolicy(wanted, spec.network);
    // First, since a daemon that takes up the machine goes by what is recorded.
    this.#record(vm, { ...spec, allow });
    if (!this.#lifecycle.running(vm.id) || !(allow || vm.spec.allow)) return;
    try {
      await this.#deps.network.setPolicy(vm.id, allow && parsePolicy(allow));
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

function requirePolicy({ name, spec }: VmRecord): readonly string[] {
  if (spec.allow) return spec.allow;
  throw new BangerError(
    "invalid_state",
    `Cannot change the policy of "${name}": no policy, all outbound traffic is allowed`,
    { hint: `Set a policy first: banger vm policy set ${name} --deny-all` },
  );
}
