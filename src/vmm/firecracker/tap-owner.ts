/** The owner of a tap: the only user that can open it. */
import { closeSync, existsSync, openSync } from "node:fs";
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

/**
 * Makes a persistent tap that nobody has open belong to a user. Needs root.
 * `not_found`, or `conflict` when somebody has it open.
 */
export function setTapOwner(name: string, uid: number): void {
  if (name.length > NAME_MAX_BYTES || !existsSync(`/sys/class/net/${name}`)) {
    throw new BangerError("not_found", `no such tap device "${name}"`, {
      hint: "banger doctor",
    });
  }
  const request = Buffer.alloc(IFREQ_BYTES);
  request.write(name, "latin1");
  request.writeUInt16LE(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, 16);
  const fd = openTun();
  try {
    // A tap keeps its queues when it is persistent, so closing the descriptor changes nothing.
    const isOurs = ioctl(fd, TUNSETIFF, request) && ioctl(fd, TUNSETOWNER, uid);
    if (isOurs) return;
  } finally {
    closeSync(fd);
  }
  throw new BangerError("conflict", `Cannot use tap device "${name}": in use by another process`, {
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
