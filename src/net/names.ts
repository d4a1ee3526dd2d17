/** The names and hardware addresses that banger gives to devices on the host. */
import { hexOf, sha256 } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";

/** IFNAMSIZ less the closing zero (linux/if.h). */
const MAX_INTERFACE_LENGTH = 15;

const TAP_PREFIX = "bgr-";

/** "bgr-" and the first 8 characters of the machine's id, which are random in every id. */
export function tapName(machineId: string): string {
  if (/^[a-z0-9]{8}[a-z0-9-]{0,56}$/.test(machineId))
    return `${TAP_PREFIX}${machineId.slice(0, 8)}`;
  throw new BangerError("invalid_argument", `Cannot name a tap after machine id "${machineId}"`, {
    hint: "A machine id is 8 to 64 lower-case letters and digits",
  });
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
  throw new BangerError("invalid_argument", `Cannot use "${name}" as a network device name`, {
    hint: `Use letters, digits, "-" and "_", at most ${MAX_INTERFACE_LENGTH} of them`,
  });
}
