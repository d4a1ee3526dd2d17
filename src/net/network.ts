/**
 * Connects machines to the host's network and takes them off again. What is connected is
 * read from the devices themselves each time, so any daemon can go on where another stopped.
 */
import { BangerError, throwIfAborted } from "#base/error.ts";
import { type Address, type Cidr, joinCidr, parseAddress, parseCidr, prefixOf } from "./address.ts";
import {
  type Device,
  machineTaps,
  parseBridgeAlias,
  parseTapAlias,
  portsOf,
  readDevice,
  uplinkMtu,
} from "./devices.ts";
import {
  applyLinks,
  bridgeCommands,
  disableIpv6,
  enableForwarding,
  removeCommand,
  tapCommands,
} from "./link.ts";
import { exclusive } from "./lock.ts";
import { checkInterfaceName, macAddress, tableName, tapName } from "./names.ts";
import { assertTableIsOurs, removeTable, replaceTable, tableOwner } from "./nft.ts";
import { allocateAddress, checkMachineAddress, checkSubnet, gatewayOf } from "./pool.ts";
import { hostResolvers } from "./resolvers.ts";
import { tapObstacle } from "./rights.ts";
import { findOverlap, overlapError, readRoutes } from "./routes.ts";

export type NetworkMode = "nat" | "host" | "user" | "none";

export interface NetworkOptions {
  bridge: string;
  /** IPv4 block; its first address is the host's. */
  subnet: string;
  /** Who may open the taps; default: the user of this process. */
  tapUser_uid?: number;
}

export interface AttachRequest {
  machineId: string;
  mode: NetworkMode;
  /** The machine's own address; default: the lowest that is neither connected nor in `inUse`. */
  address?: string | undefined;
  /** Addresses of machines that do not run, for choosing one. */
  inUse?: Iterable<Address>;
  /** Default: made from the machine's id. */
  mac?: string | undefined;
}

/** What the monitor and the guest need to know. */
export type Attachment =
  | {
      mode: "nat" | "host";
      tap: string;
      mac: string;
      address: Cidr;
      gateway: Address;
      dns: Address[];
      mtu: number;
      /** What works less well than it should, for people. */
      warnings: string[];
    }
  | { mode: "user"; mac: string; address: Cidr; gateway: Address; dns: Address[]; mtu?: undefined }
  | { mode: "none"; address?: undefined; gateway?: undefined; dns: Address[]; mtu?: undefined };

type TapAttachment = Extract<Attachment, { tap: string }>;

export class Network {
  readonly #bridge: string;
  readonly #table: string;
  readonly #subnet: Cidr;
  readonly #user_uid: number;

  constructor(options: NetworkOptions) {
    checkInterfaceName(options.bridge);
    this.#bridge = options.bridge;
    this.#table = tableName(options.bridge);
    this.#subnet = checkSubnet(parseCidr(options.subnet));
    this.#user_uid = options.tapUser_uid ?? process.getuid?.() ?? 0;
  }

  /** Whether this process has the rights and programs that the mode takes. */
  canUse(mode: NetworkMode): boolean {
    return !isTapMode(mode) || tapObstacle() === undefined;
  }

  /** Throws what `canUse` finds in the way: `permission_denied` or `unsupported`. */
  assertUsable(mode: NetworkMode): void {
    const obstacle = isTapMode(mode) ? tapObstacle() : undefined;
    if (obstacle) throw obstacle;
  }

  /** Addresses of the machines that are connected now, those of other daemons among them. */
  addressesInUse(): Address[] {
    return machineTaps(this.#bridge).map(({ address }) => address);
  }

  /**
   * Connects a machine; on failure or abort all that was made for it is undone. `conflict`:
   * the address, the subnet, the bridge or the table is somebody else's. Safe to repeat.
   */
  async attach(request: AttachRequest, signal?: AbortSignal): Promise<Attachment> {
    const { mode, machineId } = request;
    if (mode === "none") return { mode, dns: [] };
    const mac = request.mac ?? macAddress(machineId);
    if (mode === "user") return { mode, mac, ...userNetwork() };
    this.assertUsable(mode);
    return await exclusive(async () => await this.#attachTap({ ...request, mac, mode }, signal), {
      signal,
    });
  }

  /** Takes a machine off; with the last one the bridge and the rules go. Safe to repeat. */
  async detach(machine: { machineId: string; mode: NetworkMode }): Promise<void> {
    if (!isTapMode(machine.mode)) return;
    const tap = tapName(machine.machineId);
    // Without rights nothing can have been made, and nothing needs to be looked after.
    if (!readDevice(tap) && (!this.#ownBridge() || tapObstacle())) return;
    await exclusive(async () => {
      const device = readDevice(tap);
      const isOurs = device && parseTapAlias(tap, device.alias)?.machineId === machine.machineId;
      await this.#settle({ remove: isOurs ? [tap] : [] });
    });
  }

  async #attachTap(
    request: AttachRequest & { mode: "nat" | "host"; mac: string },
    signal: AbortSignal | undefined,
  ): Promise<TapAttachment> {
    const { machineId, mode, mac } = request;
    const tap = tapName(machineId);
    const staleTap = this.#staleTap(tap, machineId);
    const bridgeSteps = await this.#bridgeSteps(signal);
    const gateway = gatewayOf(this.#subnet);
    const address = this.#chooseAddress(request);
    const mtu = uplinkMtu();
    const resolvers = hostResolvers();
    throwIfAborted(signal);
    const plan = { tap, machineId, mode, address, mtu, bridge: this.#bridge };
    try {
      await applyLinks([
        ...staleTap,
        ...bridgeSteps,
        ...tapCommands({ ...plan, user_uid: this.#user_uid }),
      ]);
      for (const device of [this.#bridge, tap]) disableIpv6(device);
      if (mode === "nat") enableForwarding();
      throwIfAborted(signal);
      await this.#replaceTable();
      throwIfAborted(signal);
    } catch (error) {
      const made = bridgeSteps.length > 0 ? [tap, this.#bridge] : [tap];
      // The first failure tells more than one of undoing it; `detach` tries that again.
      await this.#settle({ remove: made }).catch(() => {});
      throw error;
    }
    return {
      mode,
      tap,
      mac,
      address: joinCidr(address, prefixOf(this.#subnet)),
      gateway,
      dns: resolvers.servers,
      mtu,
      warnings: resolvers.warning ? [resolvers.warning] : [],
    };
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

  /** What has to be done so that the bridge is there, after looking for others who would mind. */
  async #bridgeSteps(signal: AbortSignal | undefined): Promise<string[]> {
    const gateway = joinCidr(gatewayOf(this.#subnet), prefixOf(this.#subnet));
    const existing = this.#ownBridge({ orThrow: true });
    const current = existing && parseBridgeAlias(existing.alias);
    if (current === gateway) return [];
    if (current && portsOf(this.#bridge).length > 0) {
      throw new BangerError(
        "conflict",
        `Cannot connect the machine: running machines use "${this.#bridge}" with "${current}", and network.subnet is "${this.#subnet}"`,
        { hint: "Stop them, or set network.subnet and network.bridge apart from theirs" },
      );
    }
    const [routes] = await Promise.all([readRoutes(signal), assertTableIsOurs(this.#table)]);
    const overlap = findOverlap(this.#subnet, { bridge: this.#bridge, routes });
    if (overlap) throw overlapError(this.#subnet, overlap);
    const plan = { bridge: this.#bridge, gateway, mtu: uplinkMtu() };
    return [...(current ? [removeCommand(this.#bridge)] : []), ...bridgeCommands(plan)];
  }

  #chooseAddress({ address, inUse = [], machineId }: AttachRequest): Address {
    const connected = machineTaps(this.#bridge).filter((each) => each.machineId !== machineId);
    if (address === undefined) {
      const taken = new Set([...inUse, ...connected.map((each) => each.address)]);
      return allocateAddress(this.#subnet, { inUse: taken });
    }
    const wanted = parseAddress(address);
    checkMachineAddress(this.#subnet, wanted);
    const holder = connected.find((each) => each.address === wanted);
    if (!holder) return wanted;
    throw new BangerError(
      "conflict",
      `Cannot connect the machine: its address "${wanted}" is in use by machine "${holder.machineId}" on "${holder.tap}"`,
      {
        hint: "Another daemon shares the subnet: give each its own network.subnet and network.bridge",
      },
    );
  }

  /** The bridge where it is ours. With `orThrow`, `conflict` when it is somebody else's. */
  #ownBridge(options: { orThrow?: boolean } = {}): Device | undefined {
    const device = readDevice(this.#bridge);
    if (!device || (device.isBridge && parseBridgeAlias(device.alias))) return device;
    if (!options.orThrow) return undefined;
    throw new BangerError(
      "conflict",
      `Cannot use "${this.#bridge}" for machines: there is a device of that name that banger did not make`,
      {
        hint: `Set network.bridge to another name, or if nobody needs it: sudo ip link del ${this.#bridge}`,
      },
    );
  }

  /**
   * Removes the named devices that are there, and the bridge and the table when no port is left.
   * The table goes before the devices, so that after a crash in between they still tell of it.
   */
  async #settle({ remove }: { remove: readonly string[] }): Promise<void> {
    const gone = new Set(remove.filter((name) => readDevice(name)));
    const isLast = portsOf(this.#bridge).every((port) => gone.has(port));
    if (isLast && this.#ownBridge()) gone.add(this.#bridge);
    try {
      if (isLast && (await this.#isTableOurs(gone))) await removeTable(this.#table);
    } finally {
      await applyLinks([...gone].map(removeCommand));
    }
    if (!isLast && this.#ownBridge()) await this.#replaceTable();
  }

  /** The table comes with the bridge; only where somebody took the bridge away has one to look. */
  async #isTableOurs(gone: ReadonlySet<string>): Promise<boolean> {
    return gone.has(this.#bridge) || (await tableOwner(this.#table)) === "banger";
  }

  async #replaceTable(): Promise<void> {
    const machines = machineTaps(this.#bridge);
    await replaceTable({ table: this.#table, bridge: this.#bridge, machines });
  }
}

function isTapMode(mode: NetworkMode): mode is "nat" | "host" {
  return mode === "nat" || mode === "host";
}

/** What QEMU's own stack gives its only guest. */
function userNetwork(): { address: Cidr; gateway: Address; dns: Address[] } {
  return {
    address: parseCidr("10.0.2.15/24"),
    gateway: parseAddress("10.0.2.2"),
    dns: [parseAddress("10.0.2.3")],
  };
}
