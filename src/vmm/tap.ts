/** Taps: who may open them, and opening them. */
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { BangerError, messageOf } from "#base/error.ts";
import { ioctl } from "#base/libc.ts";

/** Requests and flags of <linux/if_tun.h>. */
const TUNSETIFF = 0x400454ca;
const TUNSETOWNER = 0x400454cc;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const IFREQ_BYTES = 40;
const NAME_MAX_BYTES = 15;
/** Owner of a tap that everybody may open. */
export const ANYBODY = -1;

/** The user that alone, beside root, can open a tap. */
export function tapOwner(name: string): number {
  try {
    return Number(readFileSync(`/sys/class/net/${name}/owner`, "utf8").trim());
  } catch (cause) {
    throw missing(name, cause);
  }
}

/**
 * Makes a persistent tap that nobody has open belong to a user. Needs root.
 * `not_found`, or `conflict` when somebody has it open.
 */
export function setTapOwner(name: string, uid: number): void {
  const fd = attach(name);
  if (fd === undefined) throw inUse(name);
  try {
    // A tap keeps its queues when it is persistent, so closing the descriptor changes nothing.
    if (!ioctl(fd, TUNSETOWNER, uid)) throw inUse(name);
  } finally {
    closeSync(fd);
  }
}

/** A descriptor for the frames of a tap, each with a header as virtio has it. The caller closes it. */
export function openTap(name: string): number {
  const fd = attach(name);
  if (fd !== undefined) return fd;
  const uid = process.geteuid?.();
  if (uid !== 0 && ![ANYBODY, uid].includes(tapOwner(name))) {
    throw new BangerError(
      "permission_denied",
      `Cannot use tap device "${name}": permission denied`,
      {
        hint: "Run sudo banger setup, or use --net user",
      },
    );
  }
  throw inUse(name);
}

/** Undefined when the kernel refuses. */
function attach(name: string): number | undefined {
  if (name.length > NAME_MAX_BYTES || !existsSync(`/sys/class/net/${name}`)) throw missing(name);
  const request = Buffer.alloc(IFREQ_BYTES);
  request.write(name, "latin1");
  request.writeUInt16LE(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, 16);
  const fd = openTun();
  if (ioctl(fd, TUNSETIFF, request)) return fd;
  closeSync(fd);
  return undefined;
}

function missing(name: string, cause?: unknown): BangerError {
  return new BangerError("not_found", `no such tap device "${name}"`, {
    hint: "banger doctor",
    cause,
  });
}

function inUse(name: string): BangerError {
  return new BangerError("conflict", `Cannot use tap device "${name}": in use by another process`, {
    hint: "Stop the machine that uses it",
  });
}

function openTun(): number {
  try {
    return openSync("/dev/net/tun", "r+");
  } catch (cause) {
    const text = `Cannot open /dev/net/tun: ${messageOf(cause)}`;
    throw new BangerError("unavailable", text, { hint: "sudo modprobe tun", cause });
  }
}
