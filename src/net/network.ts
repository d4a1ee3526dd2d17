/**
 * Attaches machines to the host's network and detaches them. What is connected is read from the devices each time, so
 * any daemon can continue where another stopped.
 */

import type { PolicyLog } from "#api/network.ts";
import { throwIfAborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import { assertTableIsOurs, isTableWhole, runNft } from "#net/nft/nft.ts";
import { type Address, type Cidr, parseCidr } from "./address.ts";
import { type Attachment, type AttachRequest, assertPlain, userNetwork } from "./attachment.ts";
import {
  type Bandwidth,
  type BandwidthCounters,
  intermediateOf,
  limitTap,
  readCounters,
} from "./bandwidth/bandwidth.ts";
import { bridgeMark, ownBridge, readBridgeMark } from "./bridge.ts";
import {
  type BridgeMark,
  type MachineTap,
  machineTaps,
  parseTapAlias,
  poolTaps,
  readDevice,
  tapAlias,
} from "./devices.ts";
import type { GuestDns } from "./dns/server.ts";
import { guestResolvers } from "./guest-dns.ts";
import { chooseSubnet6 } from "./ipv6.ts";
import { applyLinks, retagCommands } from "./link.ts";
import { exclusive } from "./lock.ts";
import { isTapMode, type NetworkMode } from "./mode.ts";
import { checkInterfaceName, checkNetworks, macAddress, tableName, tapName } from "./names.ts";
import { Policies } from "./policy/policies.ts";
import { assertEnforceable, type Policy } from "./policy/policy.ts";
import type { GuestProxy } from "./policy/proxy.ts";
import { emptyStalePolicies } from "./policy/stale.ts";
import { emptyPolicy, type PolicyMachine } from "./policy/table.ts";
import { allocateAddress, checkSubnet } from "./pool.ts";
import { attachPoolTap } from "./pool-attach.ts";
import { openObstacle, tapObstacle } from "./rights.ts";
import { applyRules, settle } from "./settle.ts";
import { attachTap, marked, policyMachine, proxyEnd, type TapContext } from "./tap-attach.ts";
import { hasPoolTap, leasedTaps, type PoolOwner, releaseTap } from "./tap-leases.ts";

export type { Attachment, AttachRequest } from "./attachment.ts";

export interface NetworkOptions {
  bridge: string;
  /** IPv4 block; its first address is the host's. */
  subnet: string;
  /** "auto", "off" or a block; see `chooseSubnet6`. Default "auto". */
  subnet6?: string | undefined;
  /** Who may open the taps; default: the user of this process. */
  tapUser_uid?: number;
  /** Answers the machines' questions on the gateway; without one they ask the host's resolvers. */
  dns?: GuestDns | undefined;
  /** The same that `dns` has for a filter; without it policies with names let nothing through. */
  policies?: Policies | undefined;
  /** Carries TCP of machines whose policy the kernel cannot keep; without one such policies are refused. */
  proxy?: GuestProxy | undefined;
}

export class Network {
  readonly #bridge: string;
  readonly #subnet: Cidr;
  readonly #subnet6: Cidr | undefined;
  readonly #owner: PoolOwner;
  readonly #dns: GuestDns | undefined;
  readonly #policies: Policies;
  readonly #proxy: GuestProxy | undefined;

  constructor(options: NetworkOptions) {
    checkInterfaceName(options.bridge);
    this.#bridge = options.bridge;
    this.#subnet = checkSubnet(parseCidr(options.subnet));
    this.#subnet6 = chooseSubnet6(options.subnet6 ?? "auto", options.bridge);
    const user_uid = options.tapUser_uid ?? process.getuid?.() ?? 0;
    this.#owner = { bridge: options.bridge, user_uid };
    this.#dns = options.dns;
    this.#policies = options.policies ?? new Policies(options.bridge);
    this.#proxy = options.proxy;
  }

  /** Whether this process has the rights and programs that the mode takes, or a tap of `banger setup`. */
  canUse(mode: NetworkMode): boolean {
    return !isTapMode(mode) || this.obstacle(mode) === undefined;
  }

  /** Throws what `canUse` finds in the way: `permission_denied` or `unsupported`. */
  assertUsable(mode: NetworkMode): void {
    const obstacle = isTapMode(mode) ? this.obstacle(mode) : undefined;
    if (obstacle) throw obstacle;
  }

  obstacle(mode: "nat" | "host"): BangerError | undefined {
    const obstacle = tapObstacle();
    if (obstacle && hasPoolTap(this.#owner, mode)) return openObstacle();
    return obstacle;
  }

  /** Addresses that no other machine can have now, those of other daemons' machines among them. */
  addressesInUse(): Address[] {
    // Who may make taps leaves those of the pool to those who may not.
    const pooled = tapObstacle() ? leasedTaps(this.#owner) : poolTaps(this.#bridge);
    return [...machineTaps(this.#bridge), ...pooled].map(({ address }) => address);
  }

  /**
   * An address for a new machine that is neither in use now nor in `reserved`; one of the pool
   * where this process has to take its taps from there. `limit_exceeded` when there is none.
   */
  newAddress(reserved: Iterable<Address>): Address {
    const inUse = new Set([...reserved, ...this.addressesInUse()]);
    const pooled = tapObstacle() ? poolTaps(this.#bridge) : [];
    const free = pooled.find(
      ({ address, user_uid }) => user_uid === this.#owner.user_uid && !inUse.has(address),
    );
    return free?.address ?? allocateAddress(this.#subnet, { inUse });
  }

  /**
   * Connects a machine; on failure or abort all that was made for it is undone. `conflict`:
   * the address, the subnet, the bridge or the table is somebody else's. Safe to repeat.
   */
  async attach(request: AttachRequest, signal?: AbortSignal): Promise<Attachment> {
    const { mode, machineId } = request;
    if (!isTapMode(mode)) {
      assertPlain(request);
      if (mode === "none") return { mode, dns: [] };
      return { mode, mac: request.mac ?? macAddress(machineId), ...userNetwork() };
    }
    this.assertUsable(mode);
    const tapRequest = { ...request, mode };
    if (!tapObstacle()) {
      return await exclusive(() => attachTap(tapRequest, this.#tapContext(signal)), { signal });
    }
    throwIfAborted(signal);
    return await attachPoolTap(tapRequest, { owner: this.#owner, dns: this.#dns });
  }

  /** Takes a machine off; with the last one the bridge and the rules go. Safe to repeat. */
  async detach(machine: { machineId: string; mode: NetworkMode }): Promise<void> {
    if (!isTapMode(machine.mode)) return;
    const { machineId } = machine;
    const tap = tapName(machineId);
    releaseTap({ ...this.#owner, machineId });
    const isKnown =
      readDevice(tap) !== undefined ||
      intermediateOf(tap) !== undefined ||
      this.#policies.has(machineId);
    // Without rights nothing else can have been made, and nothing needs to be looked after.
    if (!isKnown && (!ownBridge(this.#bridge) || tapObstacle())) return;
    await exclusive(async () => {
      const device = readDevice(tap);
      // Somebody may have removed the tap, and nothing else of it.
      const isOurs = !device || parseTapAlias(tap, device.alias)?.machineId === machineId;
      await settle(this.#bridge, { remove: isOurs ? [tap] : [], more: emptyPolicy(tap) });
      this.#policies.forget(machineId);
    });
  }

  /**
   * Puts a machine that is connected under another policy, or under none; no other machine
   * notices. `not_found` when it is not connected by a tap of its own.
   */
  async setPolicy(machineId: string, policy: Policy | undefined): Promise<void> {
    await exclusive(async () => {
      const tap = this.#connected(machineId);
      if (policy) await this.#assertEnforceable(policy);
      const machine = await this.#policyMachine(tap, policy);
      if (policy) {
        await this.#policies.apply(machine, policy);
      }
      await this.#retag(marked(tap, policy));
      if (!policy) await this.#policies.remove(machine.tap, machineId);
    });
  }

  /** Puts a machine that is connected on other named networks. */
  async setNetworks(machineId: string, networks: readonly string[]): Promise<void> {
    const checked = checkNetworks(networks);
    await exclusive(async () => {
      await this.#retag({ ...this.#connected(machineId), networks: checked });
    });
  }

  /** Puts a machine that is connected under other limits, or under none. */
  async setBandwidth(machineId: string, bandwidth: Bandwidth): Promise<void> {
    await exclusive(async () => {
      await limitTap(this.#connected(machineId, "bandwidth limit").tap, bandwidth);
    });
  }

  /** What the limits of a machine have let through and held back. */
  async bandwidthCounters(machineId: string): Promise<BandwidthCounters> {
    return await readCounters(tapName(machineId));
  }

  /** Writes what has changed on the tap, and makes the rules of it. */
  async #retag(machine: MachineTap): Promise<void> {
    const retag = { tap: machine.tap, alias: tapAlias(machine) };
    const isIsolated = machine.networks.length === 0;
    await applyLinks(retagCommands({ ...retag, isIsolated }));
    await applyRules(this.#bridge);
  }

  /** The machines that are connected to a named network now. */
  membersOf(network: string): string[] {
    const members = machineTaps(this.#bridge).filter(({ networks }) => networks.includes(network));
    return members.map(({ machineId }) => machineId);
  }

  /** What a policy has let through and what not; undefined for a machine without one. */
  async policyLog(machineId: string): Promise<PolicyLog | undefined> {
    return await this.#policies.log(machineId);
  }

  /**
   * After a restart of the daemon, for the machines that have gone on running: removes policies of others, takes up
   * theirs, puts the rules back where somebody has removed them meanwhile, and answers DNS again,
   * in this order: no question may be answered that a policy forbids.
   */
  async resume(policyOf: (machineId: string) => Policy | undefined): Promise<void> {
    if (!tapObstacle()) await exclusive(removeStalePolicies);
    const mark = readBridgeMark(this.#bridge);
    if (!mark) return;
    if (!tapObstacle()) {
      await exclusive(async () => {
        await this.#restorePolicies(policyOf);
        await this.#restoreRules();
      });
    }
    await guestResolvers(this.#dns, mark);
  }

  async #restorePolicies(policyOf: (machineId: string) => Policy | undefined): Promise<void> {
    for (const machine of machineTaps(this.#bridge)) {
      const policy = policyOf(machine.machineId);
      if (!policy) continue;
      await this.#policies.adopt(await this.#policyMachine(machine, policy), policy);
      // An older banger has not written it there.
      const wanted = marked(machine, policy);
      if (tapAlias(wanted) !== tapAlias(machine)) await this.#retag(wanted);
    }
  }

  async #restoreRules(): Promise<void> {
    if (await isTableWhole(tableName(this.#bridge))) return;
    await assertTableIsOurs(tableName(this.#bridge));
    await applyRules(this.#bridge, this.#policies.renderAll());
  }

  #connected(machineId: string, what = "policy"): MachineTap {
    const machine = machineTaps(this.#bridge).find((each) => each.machineId === machineId);
    if (machine) return machine;
    throw new BangerError(
      "not_found",
      `Cannot change the ${what} of machine "${machineId}": it has no tap device of its own`,
      { hint: "Change it while the machine is stopped, and with --net nat or --net host" },
    );
  }

  async #policyMachine(machine: MachineTap, policy: Policy | undefined): Promise<PolicyMachine> {
    const mark = this.#mark();
    const proxy = await proxyEnd(this.#proxy, { policy, mark });
    return policyMachine(machine, { bridge: this.#bridge, mark, proxy });
  }

  #tapContext(signal: AbortSignal | undefined): TapContext {
    return {
      bridge: this.#bridge,
      subnet: this.#subnet,
      subnet6: this.#subnet6,
      user_uid: this.#owner.user_uid,
      dns: this.#dns,
      proxy: this.#proxy,
      policies: this.#policies,
      signal,
    };
  }

  async #assertEnforceable(policy: Policy): Promise<void> {
    const { isOwn } = await guestResolvers(this.#dns, this.#mark());
    assertEnforceable(policy, { isOwn, hasProxy: this.#proxy !== undefined });
  }

  #mark(): BridgeMark {
    const [bridge, subnet, subnet6] = [this.#bridge, this.#subnet, this.#subnet6];
    return bridgeMark({ bridge, subnet, subnet6 });
  }
}

async function removeStalePolicies(): Promise<void> {
  const script = await emptyStalePolicies();
  if (script) await runNft(script);
}
