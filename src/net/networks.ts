/** Connects each machine in the way that this user has: the host's own network, or a namespace without root. */
import type { Decision, PolicyLog } from "#api/network.ts";
import type { BangerError } from "#base/error.ts";
import type { Address } from "./address.ts";
import type { Attachment, AttachRequest } from "./attachment.ts";
import { type Bandwidth, type BandwidthCounters, hasBandwidth } from "./bandwidth/bandwidth.ts";
import { isTapMode, type NetworkMode } from "./mode.ts";
import type { Network } from "./network.ts";
import { DecisionLog } from "./policy/decisions.ts";
import type { Policy } from "./policy/policy.ts";
import { tapObstacle } from "./rights.ts";
import type { RootlessNetwork } from "./rootless/network.ts";

export interface NetworksOptions {
  host: Network;
  rootless: RootlessNetwork | undefined;
  /** The same that the parts of both report to. */
  decisions?: DecisionLog;
}

export class Networks {
  readonly #host: Network;
  /** Undefined for root, which needs none. */
  readonly #rootless: RootlessNetwork | undefined;

  readonly #decisions: DecisionLog;
  /** Of machines without a record. */
  readonly #held = new Set<Address>();

  constructor({ host, rootless, decisions = new DecisionLog() }: NetworksOptions) {
    this.#host = host;
    this.#rootless = rootless;
    this.#decisions = decisions;
  }

  async canUse(mode: NetworkMode): Promise<boolean> {
    return (await this.#obstacle(mode)) === undefined;
  }

  /** Throws what is in the way of a mode: `permission_denied` or `unsupported`. */
  async assertUsable(mode: NetworkMode): Promise<void> {
    const obstacle = await this.#obstacle(mode);
    if (obstacle) throw obstacle;
  }

  async #obstacle(mode: NetworkMode): Promise<BangerError | undefined> {
    if (!isTapMode(mode)) return undefined;
    const onHost = this.#host.obstacle(mode);
    if (!onHost || !this.#rootless) return onHost;
    return await this.#rootless.obstacle();
  }

  /** As `Network.newAddress`. */
  newAddress(reserved: Iterable<Address>): Address {
    return this.#host.newAddress([...reserved, ...this.#held]);
  }

  /** An address that no new machine of this process gets until it is disposed of. */
  holdAddress(reserved: Iterable<Address>): Disposable & { address: Address } {
    const address = this.newAddress(reserved);
    this.#held.add(address);
    return { address, [Symbol.dispose]: () => this.#held.delete(address) };
  }

  /** As `Network.attach`. */
  async attach(request: AttachRequest, signal?: AbortSignal): Promise<Attachment> {
    const rootless = this.#rootlessFor(request);
    if (!rootless) return await this.#host.attach(request, signal);
    const obstacle = await rootless.obstacle();
    if (obstacle) throw obstacle;
    return await rootless.attach(request, signal);
  }

  /** Taps of `banger setup` are faster, and have no rules of their own. */
  #rootlessFor({ mode, policy, networks, bandwidth }: AttachRequest): RootlessNetwork | undefined {
    if (!this.#rootless || !isTapMode(mode)) return undefined;
    const needsRules =
      policy !== undefined || (networks?.length ?? 0) > 0 || hasBandwidth(bandwidth);
    const canHost = this.#host.canUse(mode) && !(needsRules && tapObstacle());
    return canHost ? undefined : this.#rootless;
  }

  /** As `Network.detach`. */
  async detach(machine: { machineId: string; mode: NetworkMode }): Promise<void> {
    this.#decisions.forget(machine.machineId);
    if (!isTapMode(machine.mode)) return;
    await this.#host.detach(machine);
    await this.#rootless?.detach(machine);
  }

  async setPolicy(machineId: string, policy: Policy | undefined): Promise<void> {
    await this.#owner().setPolicy(machineId, policy);
  }

  async setNetworks(machineId: string, networks: readonly string[]): Promise<void> {
    await this.#owner().setNetworks(machineId, networks);
  }

  async setBandwidth(machineId: string, bandwidth: Bandwidth): Promise<void> {
    await this.#owner().setBandwidth(machineId, bandwidth);
  }

  async bandwidthCounters(machineId: string): Promise<BandwidthCounters> {
    return await this.#owner().bandwidthCounters(machineId);
  }

  /** Those of machines without a policy, too. */
  decisionsOf(machineId: string): Decision[] {
    return this.#decisions.of(machineId);
  }

  async policyLog(machineId: string): Promise<PolicyLog | undefined> {
    const log = await this.#owner().policyLog(machineId);
    return log && { ...log, decisions: this.#decisions.of(machineId) };
  }

  /** What is decided about a machine, from the daemon's start on, until `signal` fires. */
  followPolicy(machineId: string, signal: AbortSignal | undefined): AsyncGenerator<Decision, void> {
    return this.#decisions.follow(machineId, signal);
  }

  /** As `Network.resume`. */
  async resume(policyOf: (machineId: string) => Policy | undefined): Promise<void> {
    await this.#host.resume(policyOf);
    await this.#rootless?.resume(policyOf);
  }

  /** Without root, only machines in the namespace have rules that can change. */
  #owner(): Network | RootlessNetwork {
    return this.#rootless?.isUp ? this.#rootless : this.#host;
  }
}
