/** What no two machines may have in common, read inside of them. */
import type { Installation } from "./installation.ts";

/** By name: a command of busybox or Debian that prints one line, or nothing where a machine has none. */
const COMMANDS: Record<string, string> = {
  hostname: "cat /proc/sys/kernel/hostname",
  "/etc/hostname": "cat /etc/hostname",
  "/etc/hosts": "grep -v '^#' /etc/hosts | tail -n 1 | sed 's/.* //'",
  "machine ID": "cat /etc/machine-id",
  "boot ID": "cat /proc/sys/kernel/random/boot_id",
  "UUID of the kernel": "cat /proc/sys/kernel/random/uuid",
  "ssh host key": "md5sum </etc/ssh/ssh_host_ed25519_key",
  "key drawn first": "head -c 32 /dev/urandom | md5sum",
  "random seed of systemd": "md5sum </var/lib/systemd/random-seed",
  "hardware address": "cat /sys/class/net/eth0/address",
  "IPv4 address": "ip -o -4 addr show dev eth0 scope global | sed 's/.*inet //; s/ .*//'",
  "IPv6 addresses": "ip -o -6 addr show dev eth0 | sed 's/.*inet6 //; s/ .*//' | tr '\\n' ' '",
};
/** QEMU's own network is the same in every machine. */
const ADDRESSES = /^IPv/;

export type Identity = Record<string, string>;

export async function identityOf({ ok }: Installation, name: string): Promise<Identity> {
  const script = Object.values(COMMANDS).map((command) => `echo "$(${command} 2>/dev/null)"`);
  const text = await ok("vm", "exec", name, "--", "sh", "-c", script.join("; "));
  const lines = text.split("\n");
  return Object.fromEntries(Object.keys(COMMANDS).map((what, i) => [what, lines[i]?.trim() ?? ""]));
}

/** In words: values that two machines share, and what `needed` names and a machine has not. */
export function clashes(
  identities: readonly Identity[],
  { needed, isUserNetwork = false }: { needed: readonly string[]; isUserNetwork?: boolean },
): string[] {
  return Object.keys(COMMANDS)
    .filter((what) => !isUserNetwork || !ADDRESSES.test(what))
    .flatMap((what) => {
      const values = identities.map((identity) => identity[what] ?? "").filter(Boolean);
      const missing = needed.includes(what) ? identities.length - values.length : 0;
      const shared = values.length - new Set(values).size;
      return [
        ...(shared > 0 ? [`${what}: ${shared} of ${values.length} are not unique`] : []),
        ...(missing > 0 ? [`${what}: missing in ${missing} machines`] : []),
      ];
    });
}

export const KINDS: readonly string[] = Object.keys(COMMANDS);
