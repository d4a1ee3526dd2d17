/** Checks whether this user can create a network namespace with taps, and how to fix it if not. */
import { closeSync, openSync, readFileSync } from "node:fs";
import { BangerError, errnoOf, messageOf } from "#base/error.ts";
import { run, which } from "#base/run.ts";
import { probeCommand } from "./uplink.ts";

const TUN = "/dev/net/tun";
/** The programs and their Debian packages. */
const PROGRAMS = {
  pasta: "passt",
  ip: "iproute2",
  nft: "nftables",
  nsenter: "util-linux",
  setpriv: "util-linux",
  unshare: "util-linux",
  mount: "mount",
} as const;
const PROBE_TIMEOUT_MS = 20_000;
/** A failure is cached this long; then a change of the host, such as of a sysctl, is noticed. */
const FAILURE_HOLD_MS = 10_000;
const SETUP = "or run once: sudo banger setup";

export interface NamespaceHost {
  uid: number;
  /** Programs that are not installed. */
  missing: (keyof typeof PROGRAMS)[];
  /** Errno of opening /dev/net/tun, undefined when it opens. */
  tunErrno: string | undefined;
  /** The limit of user namespaces; undefined if the kernel has none to read. */
  userNamespacesMax: number | undefined;
  /** kernel.unprivileged_userns_clone, of Debian's kernels. */
  isCloneOff: boolean;
  /** kernel.apparmor_restrict_unprivileged_userns, of Ubuntu's. */
  isAppArmorRestricting: boolean;
}

export function readNamespaceHost(): NamespaceHost {
  const names = Object.keys(PROGRAMS) as (keyof typeof PROGRAMS)[];
  return {
    uid: process.getuid?.() ?? 0,
    missing: names.filter((program) => which(program) === undefined),
    tunErrno: tunErrno(),
    userNamespacesMax: readNumber("/proc/sys/user/max_user_namespaces"),
    isCloneOff: readNumber("/proc/sys/kernel/unprivileged_userns_clone") === 0,
    isAppArmorRestricting:
      readNumber("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") === 1,
  };
}

/** Checks that need no attempt. */
export function plainObstacle(host: NamespaceHost): BangerError | undefined {
  if (host.uid === 0) {
    // Its programs would run as nobody, and root has the host's own network.
    return obstacle("unsupported", "it is for ordinary users", "Use --net user");
  }
  if (host.missing.length > 0) {
    const packages = [...new Set(host.missing.map((program) => PROGRAMS[program]))].join(" ");
    const what = `not installed: ${host.missing.join(", ")}`;
    return obstacle("unsupported", what, `sudo apt-get install ${packages}, ${SETUP}`);
  }
  if (host.userNamespacesMax === 0) {
    const what = "user namespaces are disabled (user.max_user_namespaces is 0)";
    return obstacle(
      "permission_denied",
      what,
      `sudo sysctl -w user.max_user_namespaces=15000, ${SETUP}`,
    );
  }
  if (host.isCloneOff) {
    const what = "user namespaces require root (kernel.unprivileged_userns_clone is 0)";
    return obstacle(
      "permission_denied",
      what,
      `sudo sysctl -w kernel.unprivileged_userns_clone=1, ${SETUP}`,
    );
  }
  if (host.tunErrno === undefined) return undefined;
  const isThere = host.tunErrno !== "ENOENT" && host.tunErrno !== "ENODEV";
  return obstacle(
    isThere ? "permission_denied" : "unsupported",
    `cannot open "${TUN}" (${host.tunErrno})`,
    // The default mode, and harmless: unprivileged users cannot create or open taps on the host.
    isThere ? `sudo chmod 0666 ${TUN}` : "sudo modprobe tun",
  );
}

let known: { error: BangerError | undefined; until_ms: number } | undefined;

/** All checks, then one attempt to create a namespace. */
export async function namespaceObstacle(): Promise<BangerError | undefined> {
  const host = readNamespaceHost();
  const plain = plainObstacle(host);
  if (plain) return plain;
  if (known && performance.now() < known.until_ms) return known.error;
  const error = await probe(host);
  const hold_ms = error ? FAILURE_HOLD_MS : Number.POSITIVE_INFINITY;
  known = { error, until_ms: performance.now() + hold_ms };
  return error;
}

async function probe(host: NamespaceHost): Promise<BangerError | undefined> {
  try {
    const argv = probeCommand();
    const { exitCode, stderr } = await run(argv, { timeout_ms: PROBE_TIMEOUT_MS, cwd: "/" });
    return exitCode === 0 ? undefined : refusal(host, lastLine(stderr));
  } catch (error) {
    return refusal(host, messageOf(error));
  }
}

/** `reason`: the error message of the program that failed to create one. */
export function refusal(host: NamespaceHost, reason: string): BangerError {
  if (!host.isAppArmorRestricting) {
    return obstacle("permission_denied", reason, "Use --net user, or run once: sudo banger setup");
  }
  const what = `AppArmor restricts user namespaces (kernel.apparmor_restrict_unprivileged_userns is 1): ${reason}`;
  const fix = "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";
  return obstacle("permission_denied", what, `${fix}, ${SETUP}`);
}

function obstacle(
  code: "permission_denied" | "unsupported",
  why: string,
  hint: string,
): BangerError {
  return new BangerError(code, `Cannot create a network namespace: ${why}`, { hint });
}

function lastLine(text: string): string {
  const lines = text.split("\n").filter((line) => !/^\s*$|to syslog/.test(line));
  return (lines.at(-1) ?? "pasta failed").trim().slice(0, 300);
}

function tunErrno(): string | undefined {
  try {
    closeSync(openSync(TUN, "r+"));
    return undefined;
  } catch (error) {
    return errnoOf(error) ?? "EIO";
  }
}

function readNumber(path: string): number | undefined {
  try {
    return Number(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}
