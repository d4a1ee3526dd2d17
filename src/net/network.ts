/**
 * Connects machines to the host's network and takes them off again. What is connected is
 * read from the devices themselves each time, so any daemon can go on where another stopped.
 */
import { BangerError, throwIfAborted } from "#base/error.ts";
import {
  type Address,
  addressOf,
  type Cidr,
  joinCidr,
  parseAddress,
  parseCidr,
  prefixOf,
} from "./address.ts";
import type { Attachment, AttachRequest, NetworkMode, TapAttachment } from "./attachment.ts";
import { bridgeSteps, gatewayCidr, ownBridge, readBridgeMark } from "./bridge.ts";
import { claimedTaps, hasPoolTap, type PoolOwner, releaseTap } from "./claims.ts";
import {
  type MachineTap,
  machineTaps,
  parseTapAlias,
  poolTaps,
  readDevice,
  tapAlias,
  uplinkMtu,
} from "./devices.ts";
import type { GuestDns } from "./dns/server.ts";
import { guestResolvers } from "./guest-dns.ts";
import {
  applyLinks,
  disableIpv6,
  enableForwarding,
  removeCommand,
  retagCommands,
  tapCommands,
} from "./link.ts";
import { exclusive } from "./lock.ts";
import {
  checkInterfaceName,
  checkMac,
  checkNetworks,
  macAddress,
  tableName,
  tapName,
} from "./names.ts";
import { assertTableIsOurs, isTableWhole } from "./nft.ts";
import { Policies } from "./policy/policies.ts";
import { assertEnforceable, type Policy } from "./policy/policy.ts";
import { emptyPolicy, type PolicyMachine, renderPolicy } from "./policy/table.ts";
import { allocateAddress, checkMachineAddress, checkSubnet } from "./pool.ts";
import { attachPoolTap } from "./pool-attach.ts";
import { openObstacle, tapObstacle } from "./rights.ts";
import { applyRules, settle } from "./settle.ts";

export type { Attachment, AttachRequest, NetworkMode } from "./attachment.ts";

const DNS_PORT = 53;

export interface NetworkOptions {
  bridge: string;
  /** IPv4 block; its first address is the host's. */
  subnet: string;
  /** Who may open the taps; default: the user of this process. */
  tapUser_uid?: number;
  /** Answers the machines' questions on the gateway; without one they ask the host's resolvers. */
  dns?: GuestDns | undefined;
  /** The same that `dns` has for a filter; without it policies with names let nothing through. */
  policies?: Policies | undefined;
}

type TapRequest = AttachRequest & { mode: "nat" | "host" };

export class Network {
  readonly #bridge: string;
  readonly #subnet: Cidr;
  readonly #owner: PoolOwner;
  readonly #dns: GuestDns | undefined;
  readonly #policies: Policies;

  constructor(options: NetworkOptions) {
    checkInterfaceName(options.bridge);
    this.#bridge = options.bridge;
    this.#subnet = checkSubnet(parseCidr(options.subnet));
    const user_uid = options.tapUser_uid ?? process.getuid?.() ?? 0;
    this.#owner = { bridge: options.bridge, user_uid };
    this.#dns = options.dns;
    this.#policies = options.policies ?? new Policies();
  }

  /** Whether this process has the rights and programs that the mode takes, or a tap of `banger setup`. */
  canUse(mode: NetworkMode): boolean {
    return !isTapMode(mode) || this.#obstacle(mode) === undefined;
  }

  /** Throws what `canUse` finds in the way: `permission_denied` or `unsupported`. */
  assertUsable(mode: NetworkMode): void {
    const obstacle = isTapMode(mode) ? this.#obstacle(mode) : undefined;
    if (obstacle) throw obstacle;
  }

  #obstacle(mode: "nat" | "host"): BangerError | undefined {
    const obstacle = tapObstacle();
    if (obstacle && hasPoolTap(this.#owner, mode)) return openObstacle();
    return obstacle;
  }

  /** Addresses that no other machine can have now, those of other daemons' machines among them. */
  addressesInUse(): Address[] {
    // Who may make taps leaves those of the pool to those who may not.
    const pooled = tapObstacle() ? claimedTaps(this.#owner) : poolTaps(this.#bridge);
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
      return await exclusive(() => this.#attachTap(tapRequest, signal), { signal });
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
    const isKnown = readDevice(tap) !== undefined || this.#policies.has(machineId);
    // Without rights nothing else can have been made, and nothing needs to be looked after.
    if (!isKnown && (!ownBridge(this.#bridge) || tapObstacle())) return;
    await exclusive(async () => {
      const device = readDevice(tap);
      const isOurs = device && parseTapAlias(tap, device.alias)?.machineId === machineId;
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
      const machine = this.#policyMachine(this.#connected(machineId));
      if (policy) {
        await this.#assertEnforceable(policy);
        await this.#policies.apply(machine, policy);
      } else {
        await this.#policies.remove(machine.tap, machineId);
      }
    });
  }

  /** After a restart of the daemon: takes up the policy of a machine that has gone on running. */
  async adoptPolicy(machineId: string, policy: Policy): Promise<void> {
    await exclusive(async () => {
      const machine = this.#policyMachine(this.#connected(machineId));
      await this.#assertEnforceable(policy);
      await this.#policies.adopt(machine, policy);
    });
  }

  /** Puts a machine that is connected on other named networks. */
  async setNetworks(machineId: string, networks: readonly string[]): Promise<void> {
    const checked = checkNetworks(networks);
    await exclusive(async () => {
      const machine = { ...this.#connected(machineId), networks: checked };
      const retag = { tap: machine.tap, alias: tapAlias(machine) };
      await applyLinks(retagCommands({ ...retag, isIsolated: checked.length === 0 }));
      await applyRules(this.#bridge);
    });
  }

  /** The machines that are connected to a named network now. */
  membersOf(network: string): string[] {
    const members = machineTaps(this.#bridge).filter(({ networks }) => networks.includes(network));
    return members.map(({ machineId }) => machineId);
  }

  /**
   * After a restart of the daemon, for the machines that have gone on running: puts the rules
   * back where somebody has removed them meanwhile, and answers DNS again.
   */
  async resume(): Promise<void> {
    const mark = readBridgeMark(this.#bridge);
    if (!mark) return;
    if (!tapObstacle()) await exclusive(() => this.#restoreRules());
    await guestResolvers(this.#dns, mark);
  }

  async #restoreRules(): Promise<void> {
    if (await isTableWhole(tableName(this.#bridge))) return;
    await assertTableIsOurs(tableName(this.#bridge));
    await applyRules(this.#bridge, this.#policies.renderAll());
  }

  async #attachTap(request: TapRequest, signal: AbortSignal | undefined): Promise<TapAttachment> {
    const { machineId, mode, policy } = request;
    const mac = checkMac(request.mac ?? macAddress(machineId));
    const networks = checkNetworks(request.networks ?? []);
    const tap = tapName(machineId);
    const staleTap = this.#staleTap(tap, machineId);
    const bridge = this.#bridge;
    const steps = await bridgeSteps({ bridge, subnet: this.#subnet, signal });
    const address = this.#chooseAddress(request);
    const machine: MachineTap = { tap, machineId, mode, address, mac, networks };
    const mtu = uplinkMtu();
    throwIfAborted(signal);
    const isIsolated = networks.length === 0;
    const plan = { tap, alias: tapAlias(machine), bridge, isIsolated, mtu };
    try {
      const tapSteps = tapCommands({ ...plan, user_uid: this.#owner.user_uid });
      await applyLinks([...staleTap, ...steps, ...tapSteps]);
      for (const device of [bridge, tap]) disableIpv6(device);
      if (mode === "nat") enableForwarding();
      throwIfAborted(signal);
      const resolvers = await guestResolvers(this.#dns, this.#mark());
      if (policy) assertEnforceable(policy, resolvers);
      const ruled = this.#policyMachine(machine);
      await applyRules(bridge, policy ? renderPolicy(ruled, policy) : emptyPolicy(tap));
      if (policy) this.#policies.remember(ruled, policy);
      throwIfAborted(signal);
      const { isOwn, warnings } = resolvers;
      // A policy closes the way to any other server.
      const dns = policy && !isOwn ? [] : resolvers.dns;
      const prefix = prefixOf(this.#subnet);
      const gateway = addressOf(gatewayCidr(this.#subnet));
      return { mode, tap, mac, address: joinCidr(address, prefix), gateway, dns, mtu, warnings };
    } catch (error) {
      this.#policies.forget(machineId);
      const made = steps.length > 0 ? [tap, bridge] : [tap];
      // The first failure tells more than one of undoing it; `detach` tries that again.
      await settle(bridge, { remove: made, more: emptyPolicy(tap) }).catch(() => {});
      throw error;
    }
  }

  /** A tap of that name from an earlier run is made anew; anybody else's is left alone. */
  #staleTap(tap: string, machineId: string): string[] {
    const device = readDevice(tap);
    if (!device) return [];
    if (parseTapAlias(tap, device.alias)?.machineId === machineId) return [removeCommand(tap)];
    throw new BangerError(
      "conflict",
      `Cannot connect the machine: there is a device "${tap}" that banger did not make for it`,
      { hint: `If nobody needs it: sudo ip link del ${tap}` },
    );
  }

  #chooseAddress({ address, inUse = [], machineId }: AttachRequest): Address {
    const connected = machineTaps(this.#bridge).filter((each) => each.machineId !== machineId);
    const others = [
      ...connected.map((each) => ({ ...each, holder: `machine "${each.machineId}"` })),
      ...poolTaps(this.#bridge).map((each) => ({ ...each, holder: "the pool of banger setup" })),
    ];
    if (address === undefined) {
      const taken = new Set([...inUse, ...others.map((each) => each.address)]);
      return allocateAddress(this.#subnet, { inUse: taken });
    }
    const wanted = parseAddress(address);
    checkMachineAddress(this.#subnet, wanted);
    const taken = others.find((each) => each.address === wanted);
    if (!taken) return wanted;
    throw new BangerError(
      "conflict",
      `Cannot connect the machine: its address "${wanted}" is in use by ${taken.holder} on "${taken.tap}"`,
      {
        hint: "Another daemon shares the subnet: give each its own network.subnet and network.bridge",
      },
    );
  }

  #connected(machineId: string): MachineTap {
    const machine = machineTaps(this.#bridge).find((each) => each.machineId === machineId);
    if (machine) return machine;
    throw new BangerError(
      "not_found",
      `Cannot change the rules of machine "${machineId}": it is not connected by a tap of its own`,
      { hint: "It has to run with --net nat or --net host, under a daemon that may make taps" },
    );
  }

  #policyMachine({ machineId, tap, address }: MachineTap): PolicyMachine {
    const { gateway, dnsPort = DNS_PORT } = this.#mark();
    return { machineId, tap, address, bridge: this.#bridge, gateway: addressOf(gateway), dnsPort };
  }

  async #assertEnforceable(policy: Policy): Promise<void> {
    assertEnforceable(policy, await guestResolvers(this.#dns, this.#mark()));
  }

  #mark() {
    return readBridgeMark(this.#bridge) ?? { gateway: gatewayCidr(this.#subnet) };
  }
}

function isTapMode(mode: NetworkMode): mode is "nat" | "host" {
  return mode === "nat" || mode === "host";
}

/** Networks and policies are the rules of a tap. */
function assertPlain({ mode, policy, networks }: AttachRequest): void {
  const what = policy ? "a policy" : networks?.length ? "named networks" : undefined;
  if (!what) return;
  throw new BangerError("unsupported", `Cannot give ${what} to a machine with --net ${mode}`, {
    hint: "Use --net nat or --net host",
  });
}

/** What QEMU's own stack gives its only guest. */
function userNetwork(): { address: Cidr; gateway: Address; dns: Address[] } {
  return {
    address: parseCidr("10.0.2.15/24"),
    gateway: parseAddress("10.0.2.2"),
    dns: [parseAddress("10.0.2.3")],
  };
}
