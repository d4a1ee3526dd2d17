/** The command lines of pasta, which connects a user's network namespace to the outside. */

import { defaultRoutes } from "#net/devices.ts";

/** The namespace's way out, as its kernel sees it. */
const UPLINK = "uplink0";

const OPTIONS = [
  ...["--config-net", "--foreground", "--quiet", "--ns-ifname", UPLINK],
  // The host is not reachable at the gateway, and no port is forwarded in either direction.
  ...["--no-map-gw", "-t", "none", "-u", "none", "-T", "none", "-U", "none"],
];

/** On a host without a default route there is no address to copy. */
const OFFLINE = [
  ...["--ipv4-only", "--interface", "lo", "--mac-addr", "02:00:00:00:00:01"],
  ...["--address", "10.0.2.15", "--netmask", "24", "--gateway", "10.0.2.2"],
];

/** /sys of the new namespace, which has its devices; unmounts on the host pass through to it. */
const OWN_SYS = ["unshare", "--mount", "--propagation", "slave", "--", "sh", "-c"];

/** Creates the namespaces with one process in them, which prints READY, and stays once it gets a line. */
export function startCommand(): string[] {
  const stay = "read -r stay && exec sleep infinity </dev/null >/dev/null 2>&1";
  const script = `mount -t sysfs sysfs /sys && echo ${READY} && ${stay}`;
  return [...pasta(), "--", ...OWN_SYS, script];
}

export const READY = "ready";

/** Creates the namespaces and exits. */
export function probeCommand(): string[] {
  return [...pasta(), "--", ...OWN_SYS, "mount -t sysfs sysfs /sys"];
}

/** Reconnects namespaces whose pasta has exited. */
export function reconnectCommand(pid: number): string[] {
  return [...pasta(), String(pid)];
}

/** Runs a program in the namespaces of a process, with all capabilities over them. */
export function enterCommand(pid: number): string[] {
  const into = ["--user", "--net", "--mount", "--preserve-credentials", "--target", String(pid)];
  return ["nsenter", ...into, "--"];
}

function pasta(): string[] {
  return ["pasta", ...OPTIONS, ...(defaultRoutes().length > 0 ? [] : OFFLINE)];
}
