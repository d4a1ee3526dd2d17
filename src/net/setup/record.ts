/** The settings of `banger setup`, stored so that they can be restored at boot and undone. */
import { mkdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import { BangerError, errnoOf } from "#base/error.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { KiB } from "#base/size.ts";
import { type Cidr, parseCidr } from "#net/address.ts";
import { chooseSubnet6 } from "#net/ipv6.ts";
import { checkInterfaceName } from "#net/names.ts";
import { checkSubnet } from "#net/pool.ts";

const RECORD_PATH = "etc/banger/setup.json";
const MAX_RECORD_BYTES = 16 * KiB;
const MAX_TAPS = 256;
const UID_MAX = 0xffff_fffe;
const PORT_MAX = 65_535;

/** The record's JSON; `checkPlan` has the limits. */
const storedPlan = z.object({
  bridge: z.string(),
  subnet: z.string(),
  /** Absent for IPv4 only. */
  subnet6: z.string().optional(),
  /** Whose machines may use the taps. */
  user_uid: z.number(),
  /** How many machines with --net nat can run at a time. */
  taps: z.number(),
  /** How many with --net host. */
  hostTaps: z.number(),
  /** The user's daemon answers DNS here, since port 53 takes root; port 53 of the gateway leads to it. */
  dnsPort: z.number(),
});

export interface SetupPlan extends Omit<z.infer<typeof storedPlan>, "subnet" | "subnet6"> {
  subnet: Cidr;
  subnet6?: Cidr | undefined;
}

/** `invalid_argument` for what cannot be set up; the subnet comes back without host bits. */
export function checkPlan(plan: z.infer<typeof storedPlan>): SetupPlan {
  checkInterfaceName(plan.bridge);
  assertNumber("taps", plan.taps, [1, MAX_TAPS]);
  assertNumber("hostTaps", plan.hostTaps, [0, MAX_TAPS]);
  assertNumber("dnsPort", plan.dnsPort, [1, PORT_MAX]);
  assertNumber("user_uid", plan.user_uid, [0, UID_MAX]);
  const { bridge, user_uid, taps, hostTaps, dnsPort } = plan;
  const subnet = checkSubnet(parseCidr(plan.subnet));
  const subnet6 = plan.subnet6 ? chooseSubnet6(plan.subnet6, bridge) : undefined;
  return { bridge, subnet, subnet6, user_uid, taps, hostTaps, dnsPort };
}

export function recordPath(root: string): string {
  return join(root, RECORD_PATH);
}

export function recordText(plan: SetupPlan): string {
  return `${JSON.stringify(plan, undefined, 2)}\n`;
}

export function writeRecord(root: string, plan: SetupPlan): void {
  // For everybody to read, as a dry run takes no rights.
  mkdirSync(dirname(recordPath(root)), { recursive: true, mode: 0o755 });
  writeFileAtomic(recordPath(root), recordText(plan), { mode: 0o644 });
}

export function removeRecord(root: string): void {
  rmSync(recordPath(root), { force: true });
  try {
    rmdirSync(dirname(recordPath(root)));
  } catch {
    // Not empty, or it does not exist.
  }
}

/** Undefined where nothing is set up; `integrity` for a file that is not as it was written. */
export function readRecord(root: string): SetupPlan | undefined {
  const path = recordPath(root);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  try {
    if (text.length > MAX_RECORD_BYTES) throw new Error("too long");
    return checkPlan(storedPlan.parse(JSON.parse(text)));
  } catch (error) {
    throw new BangerError("integrity", `Cannot read "${path}": unexpected content`, {
      hint: `Delete it and run setup again: sudo rm ${path} && sudo banger setup`,
      cause: error,
    });
  }
}

function assertNumber(name: string, value: number, [min, max]: [number, number]): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new BangerError("invalid_argument", `invalid value for ${name}: "${value}"`, {
    hint: `Use a whole number from ${min} to ${max}`,
  });
}
