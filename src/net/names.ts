/** Names and MAC addresses of banger's devices on the host. */
import { hexOf, sha256 } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";

/** IFNAMSIZ less the closing zero (linux/if.h). */
const MAX_INTERFACE_LENGTH = 15;

const TAP_PREFIX = "bgr-";
/** As many letters and networks as fit beside the rest into a device's alias (IFALIASZ, 256 bytes). */
const MAX_NETWORK_NAME_LENGTH = 31;
const MAX_NETWORKS = 4;

/** "bgr-" and the first 8 characters of the machine's id, which are random in every id. */
export function tapName(machineId: string): string {
  if (/^[a-z0-9]{8}[a-z0-9-]{0,56}$/.test(machineId))
    return `${TAP_PREFIX}${machineId.slice(0, 8)}`;
  throw new BangerError("invalid_argument", `invalid machine ID "${machineId}"`, {
    hint: "A machine ID has 8 to 64 lower-case letters and digits",
  });
}

/** Whether it can be the name of a machine's tap, and of the table of its policy. */
export function isTapName(name: string): boolean {
  return /^bgr-[a-z0-9]{8}$/.test(name);
}

/** A unicast address with the locally-administered bit, the same one for the same id. */
export function macAddress(id: string): string {
  const digits = hexOf(sha256(`banger mac ${id}`)).slice(0, 10);
  return `02:${digits.match(/../g)?.join(":")}`;
}

/** "banger" for the usual bridge; another bridge has an nftables table of its own. */
export function tableName(bridge: string): string {
  return bridge === "banger0" ? "banger" : `banger_${bridge}`;
}

/** `invalid_argument` for what the kernel or the rule set would not take as a device name. */
export function checkInterfaceName(name: string): void {
  if (name.length <= MAX_INTERFACE_LENGTH && /^[A-Za-z][A-Za-z0-9_-]*$/.test(name)) return;
  throw new BangerError("invalid_argument", `invalid interface name "${name}"`, {
    hint: `Use at most ${MAX_INTERFACE_LENGTH} letters, digits, "-" and "_"`,
  });
}

/** `invalid_argument` for what is not a unicast hardware address in lower-case hexadecimal. */
export function checkMac(mac: string): string {
  if (/^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/.test(mac)) return mac;
  throw new BangerError("invalid_argument", `invalid MAC address "${mac}"`, {
    hint: 'Use six bytes of which the first is even, such as "02:00:00:00:00:07"',
  });
}

/** `invalid_argument` for what cannot stand in a rule set and in a device's alias. */
export function checkNetworkName(name: string): string {
  if (name.length <= MAX_NETWORK_NAME_LENGTH && /^[a-z]([a-z0-9-]*[a-z0-9])?$/.test(name)) {
    return name;
  }
  throw new BangerError("invalid_argument", `invalid network name "${name}"`, {
    hint: `Use at most ${MAX_NETWORK_NAME_LENGTH} lower-case letters, digits and dashes, starting with a letter`,
  });
}

/** The networks of one machine, checked, sorted and each once. */
export function checkNetworks(names: readonly string[]): string[] {
  const sorted = [...new Set(names.map(checkNetworkName))].sort();
  if (sorted.length <= MAX_NETWORKS) return sorted;
  throw new BangerError(
    "limit_exceeded",
    `Cannot connect the machine to ${sorted.length} networks: at most ${MAX_NETWORKS}`,
    { hint: "Connect it to fewer networks" },
  );
}
