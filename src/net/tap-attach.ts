/** Attaches a machine with a tap of its own, which needs root. */
import { throwIfAborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import {
  type Address,
  addressOf,
  type Cidr,
  joinCidr,
  networkOf,
  parseAddress,
  prefixOf,
} from "./address.ts";
import { attach6 } from "./attach6.ts";
import type { AttachRequest, TapAttachment } from "./attachment.ts";
import { hasBandwidth, intermediateOf, limitTap } from "./bandwidth/bandwidth.ts";
import { bridgeMark, bridgeSteps, gatewayCidr } from "./bridge.ts";
import {
  type BridgeMark,
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
import { address6Of, disableIpv6, hardenBridge6, linkLocalOf } from "./ipv6.ts";
import {
  applyLinks,
  enableForwarding,
  forgetNeighbour,
  removeCommand,
  tapCommands,
} from "./link.ts";
import { checkMac, checkNetworks, macAddress, tapName } from "./names.ts";
import type { Policies } from "./policy/policies.ts";
import { assertEnforceable, needsProxy, opensMetadata, type Policy } from "./policy/policy.ts";
import type { GuestProxy } from "./policy/proxy.ts";
import { emptyPolicy, type PolicyMachine, type ProxyEnd, renderPolicy } from "./policy/table.ts";
import { allocateAddress, checkMachineAddress } from "./pool.ts";
import { applyRules, settle } from "./settle.ts";

const DNS_PORT = 53;

export type TapRequest = AttachRequest & { mode: "nat" | "host" };

export interface TapContext {
  bridge: string;
  subnet: Cidr;
  subnet6: Cidr | undefined;
  /** Who may open the tap. */
  user_uid: number;
  dns: GuestDns | undefined;
  proxy: GuestProxy | undefined;
  policies: Policies;
  signal: AbortSignal | undefined;
}

/** What the rules of a policy are about. */
export function policyMachine(
  { machineId, tap, address, mac }: MachineTap,
  { bridge, mark, proxy }: { bridge: string; mark: BridgeMark; proxy: ProxyEnd | undefined },
): PolicyMachine {
  const { subnet6, dnsPort = DNS_PORT } = mark;
  return {
    machineId,
    tap,
    bridge,
    gateway: addressOf(mark.gateway),
    dnsPort,
    address,
    addresses6: subnet6 ? [address6Of(subnet6, address), linkLocalOf(mac)] : [],
    proxy,
    subnets: [networkOf(mark.gateway), ...(subnet6 ? [subnet6] : [])],
  };
}

/** Where the proxy listens on the bridge, which has to be there; undefined for a policy that needs none. */
export async function proxyEnd(
  proxy: GuestProxy | undefined,
  { policy, mark }: { policy: Policy | undefined; mark: BridgeMark },
): Promise<ProxyEnd | undefined> {
  if (!proxy || !policy || !needsProxy(policy)) return undefined;
  const gateway = addressOf(mark.gateway);
  const { subnet6 } = mark;
  return await proxy.serve([gateway, ...(subnet6 ? [address6Of(subnet6, gateway)] : [])]);
}

/** The tap as its alias shall tell of its policy. */
export function marked(tap: MachineTap, policy: Policy | undefined): MachineTap {
  const isMetadataOpen = policy !== undefined && opensMetadata(policy);
  return { ...tap, hasPolicy: policy !== undefined, isMetadataOpen };
}

/** The caller holds the network lock. On failure or abort everything is undone. */
export async function attachTap(request: TapRequest, context: TapContext): Promise<TapAttachment> {
  const { bridge, subnet, subnet6, dns: server, policies, signal } = context;
  const { machineId, mode, policy } = request;
  const mac = checkMac(request.mac ?? macAddress(machineId));
  const networks = checkNetworks(request.networks ?? []);
  const tap = tapName(machineId);
  const staleTap = staleTapCommands(tap, machineId);
  const steps = await bridgeSteps({ bridge, subnet, subnet6, signal });
  const address = chooseAddress(request, context);
  const machine = marked({ tap, machineId, mode, address, mac, networks }, policy);
  const mtu = uplinkMtu();
  throwIfAborted(signal);
  const isIsolated = networks.length === 0;
  const plan = { tap, alias: tapAlias(machine), bridge, isIsolated, mtu };
  try {
    const tapSteps = tapCommands({ ...plan, user_uid: context.user_uid });
    const addresses = subnet6 ? [address, address6Of(subnet6, address)] : [address];
    await applyLinks([...staleTap, ...steps, ...tapSteps, ...forgetNeighbour(bridge, addresses)]);
    hardenBridge6(bridge);
    disableIpv6(tap);
    if (hasBandwidth(request.bandwidth)) await limitTap(tap, request.bandwidth);
    if (mode === "nat") enableForwarding();
    throwIfAborted(signal);
    const mark = bridgeMark({ bridge, subnet, subnet6 });
    const six = attach6(mark, { address, mode });
    const resolvers = await guestResolvers(server, mark);
    if (policy) assertEnforceable(policy, { ...resolvers, hasProxy: context.proxy !== undefined });
    const proxy = await proxyEnd(context.proxy, { policy, mark });
    const ruled = policyMachine(machine, { bridge, mark, proxy });
    await applyRules(bridge, policy ? renderPolicy(ruled, policy) : emptyPolicy(tap));
    if (policy) policies.remember(ruled, policy);
    throwIfAborted(signal);
    return {
      mode,
      tap,
      mac,
      mtu,
      address: joinCidr(address, prefixOf(subnet)),
      gateway: addressOf(gatewayCidr(subnet)),
      ...six,
      // A policy closes the way to any other server.
      dns: policy && !resolvers.isOwn ? [] : resolvers.dns,
      warnings: [...six.warnings, ...resolvers.warnings],
    };
  } catch (error) {
    policies.forget(machineId);
    const made = steps.length > 0 ? [tap, bridge] : [tap];
    // The first failure tells more than one of undoing it; `detach` tries that again.
    await settle(bridge, { remove: made, more: emptyPolicy(tap) }).catch(() => {});
    throw error;
  }
}

/** A tap of that name from an earlier run is made anew; anybody else's is left alone. */
function staleTapCommands(tap: string, machineId: string): string[] {
  const intermediate = intermediateOf(tap);
  const stale = intermediate ? [removeCommand(intermediate)] : [];
  const device = readDevice(tap);
  if (!device) return stale;
  if (parseTapAlias(tap, device.alias)?.machineId === machineId)
    return [...stale, removeCommand(tap)];
  throw new BangerError(
    "conflict",
    `Cannot connect the machine: interface "${tap}" exists and was not created for it`,
    { hint: `If it is unused, delete it: sudo ip link del ${tap}` },
  );
}

function chooseAddress(
  { address, inUse = [], machineId }: AttachRequest,
  { bridge, subnet }: TapContext,
): Address {
  const connected = machineTaps(bridge).filter((each) => each.machineId !== machineId);
  const others = [
    ...connected.map((each) => ({ ...each, holder: `machine "${each.machineId}"` })),
    ...poolTaps(bridge).map((each) => ({ ...each, holder: "the pool of banger setup" })),
  ];
  if (address === undefined) {
    const taken = new Set([...inUse, ...others.map((each) => each.address)]);
    return allocateAddress(subnet, { inUse: taken });
  }
  const wanted = parseAddress(address);
  checkMachineAddress(subnet, wanted);
  const taken = others.find((each) => each.address === wanted);
  if (!taken) return wanted;
  throw new BangerError(
    "conflict",
    `Cannot connect the machine: its address "${wanted}" is in use by ${taken.holder} on "${taken.tap}"`,
    {
      hint: "Another daemon uses the same subnet: set a different network.subnet and network.bridge for each",
    },
  );
}
