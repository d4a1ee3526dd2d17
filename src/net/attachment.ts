/** A machine's network request, and the attachment that VMM and guest get. */
import { BangerError } from "#base/error.ts";
import { type Address, type Cidr, parseAddress, parseCidr } from "./address.ts";
import { assertLimitable, type Bandwidth } from "./bandwidth/bandwidth.ts";
import type { NetworkMode } from "./mode.ts";
import type { Policy } from "./policy/policy.ts";

export interface AttachRequest {
  machineId: string;
  mode: NetworkMode;
  /** The machine's own address; default: the lowest that is neither connected nor in `inUse`. */
  address?: string | undefined;
  /** Addresses of machines that do not run, for choosing one. */
  inUse?: Iterable<Address>;
  /** Default: made from the machine's id. */
  mac?: string | undefined;
  /** Named networks; machines that share one reach each other. Default: none. */
  networks?: readonly string[] | undefined;
  /** What the machine may reach; default: everything that its mode lets it. */
  policy?: Policy | undefined;
  /** How much it may receive and send; default: no limit. */
  bandwidth?: Bandwidth | undefined;
}

/**
 * What the VMM and the guest need to know. `address` and `mac` can be others than those
 * asked for: a tap from the pool of `banger setup` comes with its own.
 */
export type Attachment =
  | {
      mode: "nat" | "host";
      tap: string;
      /** A process in the network namespace that the tap is in, where that is not this process's. */
      namespacePid?: number;
      mac: string;
      address: Cidr;
      gateway: Address;
      /** Absent where the bridge has no IPv6. */
      address6?: Cidr;
      /** Absent if IPv6 reaches no further than this host. */
      gateway6?: Address;
      dns: Address[];
      mtu: number;
      /** What works less well than it should, for people. */
      warnings: string[];
    }
  | { mode: "user"; mac: string; address: Cidr; gateway: Address; dns: Address[]; mtu?: undefined }
  | { mode: "none"; address?: undefined; gateway?: undefined; dns: Address[]; mtu?: undefined };

export type TapAttachment = Extract<Attachment, { tap: string }>;

/** Networks, policies and limits are those of a tap. */
export function assertPlain({ mode, policy, networks, bandwidth }: AttachRequest): void {
  assertLimitable(bandwidth, mode);
  const what = policy ? "a policy" : networks?.length ? "named networks" : undefined;
  if (!what) return;
  throw new BangerError("unsupported", `${what} cannot be used with --net ${mode}`, {
    hint: "Use --net nat or --net host",
  });
}

/** What QEMU's own stack gives its only guest. */
export function userNetwork(): { address: Cidr; gateway: Address; dns: Address[] } {
  return {
    address: parseCidr("10.0.2.15/24"),
    gateway: parseAddress("10.0.2.2"),
    dns: [parseAddress("10.0.2.3")],
  };
}
