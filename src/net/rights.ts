/** Whether this process may create taps, bridges and rules on this host. */
import { closeSync, openSync, readFileSync } from "node:fs";
import { BangerError, errnoOf } from "#base/error.ts";
import { which } from "#base/run.ts";

const TUN = "/dev/net/tun";
/** Number of CAP_NET_ADMIN (linux/capability.h). */
const CAP_NET_ADMIN = 12n;

const WAY_OUT = "Use --net user, or run the daemon as root";
const WAY_OUT_OF_USER = "Use --net user, or run once: sudo banger setup";

export interface NetworkRights {
  isAdmin: boolean;
  /** Errno of opening /dev/net/tun, undefined when it opens. */
  tunErrno: string | undefined;
  /** Programs of ours that are not installed. */
  missing: string[];
}

export function readRights(): NetworkRights {
  return {
    isAdmin: hasCapability(readFileSync("/proc/self/status", "utf8"), CAP_NET_ADMIN),
    tunErrno: tunErrno(),
    missing: ["ip", "nft"].filter((program) => which(program) === undefined),
  };
}

/** Reads the effective set in the text of /proc/PID/status. */
export function hasCapability(status: string, capability: bigint): boolean {
  const digits = /^CapEff:\s*([0-9a-f]{1,16})$/m.exec(status)?.[1] ?? "0";
  return ((BigInt(`0x${digits}`) >> capability) & 1n) === 1n;
}

/** Why taps cannot be made here, undefined when they can. */
export function tapObstacle(rights: NetworkRights = readRights()): BangerError | undefined {
  if (!rights.isAdmin) {
    return new BangerError(
      "permission_denied",
      "Cannot create a tap device: root or CAP_NET_ADMIN is required",
      // Root without the capability, as in a container, has no more of it by sudo.
      { hint: process.getuid?.() === 0 ? WAY_OUT : WAY_OUT_OF_USER },
    );
  }
  if (rights.missing.length > 0) {
    return new BangerError(
      "unsupported",
      `Cannot create a tap device: not installed: ${rights.missing.join(", ")}`,
      { hint: "sudo apt-get install iproute2 nftables" },
    );
  }
  if (rights.tunErrno === undefined) return undefined;
  const isThere = rights.tunErrno !== "ENOENT" && rights.tunErrno !== "ENODEV";
  return new BangerError(
    isThere ? "permission_denied" : "unsupported",
    `Cannot create a tap device: cannot open "${TUN}" (${rights.tunErrno})`,
    { hint: isThere ? WAY_OUT : "sudo modprobe tun" },
  );
}

/** Why a tap that belongs to this user cannot be opened all the same, undefined when it can. */
export function openObstacle(errno: string | undefined = tunErrno()): BangerError | undefined {
  if (errno === undefined) return undefined;
  const isDenied = errno === "EACCES" || errno === "EPERM";
  return new BangerError(
    isDenied ? "permission_denied" : "unsupported",
    `Cannot use the tap devices of banger setup: cannot open "${TUN}" (${errno})`,
    // Usual and harmless: the kernel lets no other user open a user's tap.
    { hint: isDenied ? `sudo chmod 0666 ${TUN}` : "sudo modprobe tun" },
  );
}

/** For the kernel's refusal in spite of the capability, as in a container. */
export function changeDenied(reason: string): BangerError {
  return new BangerError("permission_denied", `Cannot change the network: ${reason}`, {
    hint: WAY_OUT,
  });
}

function tunErrno(): string | undefined {
  try {
    closeSync(openSync(TUN, "r+"));
    return undefined;
  } catch (error) {
    return errnoOf(error) ?? "EIO";
  }
}
