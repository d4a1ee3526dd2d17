/**
 * `banger setup`: run once as root, it leaves a bridge, taps that belong to a user, rules and forwarding, so that the
 * user's daemon can attach machines without root. Idempotent.
 */
import { chownSync } from "node:fs";
import { BangerError } from "#base/error.ts";
import { assertUnchangeable } from "#base/files/trusted-path.ts";
import { run } from "#base/run.ts";
import { addressOf } from "#net/address.ts";
import { bridgeMark, bridgeSteps, gatewayCidr, ownBridge, readBridgeMark } from "#net/bridge.ts";
import { bridgeAlias, machineTaps, poolTaps } from "#net/devices.ts";
import { resolvedCommands } from "#net/dns/resolved.ts";
import {
  disableIpv6,
  enableForwarding6,
  hardenBridge6,
  hasIpv6,
  hasUplink6,
  isForwarding6,
} from "#net/ipv6.ts";
import { applyLinks, enableForwarding, isForwarding } from "#net/link.ts";
import { exclusive } from "#net/lock.ts";
import { tableName } from "#net/names.ts";
import { replacement } from "#net/nft/nft.ts";
import { renderTables } from "#net/nft/rules.ts";
import { tapObstacle } from "#net/rights.ts";
import { applyRules, settle } from "#net/settle.ts";
import { leasesDirectory, makeLeasesDirectory, removeLeasesDirectory } from "#net/tap-leases.ts";
import { assertFree, poolChange } from "./pool-taps.ts";
import {
  readRecord,
  recordPath,
  recordText,
  removeRecord,
  type SetupPlan,
  writeRecord,
} from "./record.ts";
import { installUnit, removeUnit, unitCommands, unitPath, unitText } from "./unit.ts";

export interface SetupOptions {
  /** What the files in /etc are below; default "/". */
  root?: string;
}

/** One step: a command as a user could type it, or a file. */
export type SetupStep =
  /** `input` is what the command reads. */
  | { kind: "command"; command: string; input?: string }
  | { kind: "file"; path: string; content: string }
  | { kind: "remove"; path: string };

/** What `setUp` would do now, without doing any of it; needs no rights. Errors as `setUp`. */
export async function planSetup(
  plan: SetupPlan,
  options: SetupOptions & { program: readonly string[] },
): Promise<SetupStep[]> {
  const { root = "/", program } = options;
  assertUnchangeable(program, "setup");
  assertSameOwner(plan, root);
  const { bridge, subnet, subnet6, dnsPort, user_uid } = plan;
  const { commands, taps } = poolChange(plan);
  const table = tableName(bridge);
  const rules = renderTables({
    table,
    bridge,
    taps: [...machineTaps(bridge), ...taps],
    subnet6: bridgeMark({ bridge, subnet, subnet6: hasIpv6() ? subnet6 : undefined }).subnet6,
    dnsRedirect: { gateway: addressOf(gatewayCidr(subnet)), port: dnsPort, user_uid },
  });
  return [
    ...[...(await bridgeCommandsFor(plan)), ...commands].map((each) => command(`ip ${each}`)),
    ...(isForwarding() ? [] : [command("sysctl -w net.ipv4.ip_forward=1")]),
    ...(isToForward6(plan) && !isForwarding6()
      ? [command("sysctl -w net.ipv6.conf.all.forwarding=1")]
      : []),
    command("nft -f -", replacement(table, rules)),
    command(`install -d -o ${plan.user_uid} ${leasesDirectory(plan)}`),
    { kind: "file", path: recordPath(root), content: recordText(plan) },
    { kind: "file", path: unitPath(root), content: unitText(program) },
    ...unitCommands(root, "enable").map((argv) => command(argv.join(" "))),
    ...resolvedCommandsFor(plan).map((argv) => command(argv.join(" "))),
  ];
}

/** `program` has the words that start this program, for the unit. When it fails nothing is left. */
export async function setUp(
  plan: SetupPlan,
  options: SetupOptions & { program: readonly string[] },
): Promise<void> {
  const { root = "/", program } = options;
  assertSetupRights();
  assertUnchangeable(program, "setup");
  assertSameOwner(plan, root);
  const isNew = readRecord(root) === undefined;
  await bringUp(plan);
  try {
    writeRecord(root, plan);
    await installUnit(root, program);
  } catch (error) {
    // The first failure tells more than one of undoing it.
    if (isNew) await undoSetup({ root }).catch(() => {});
    throw error;
  }
}

/** At boot: what was set up, again. `not_found` where nothing was. */
export async function restoreSetup({ root = "/" }: SetupOptions = {}): Promise<void> {
  assertSetupRights();
  await bringUp(recorded(root));
}

/** What `undoSetup` would do now. */
export function planUndo({ root = "/" }: SetupOptions = {}): SetupStep[] {
  const plan = recorded(root);
  const { bridge } = plan;
  const table = tableName(bridge);
  const others = machineTaps(bridge);
  const { subnet6 } = readBridgeMark(bridge) ?? {};
  const rules = renderTables({ table, bridge, taps: others, subnet6 });
  return [
    ...poolTaps(bridge).map(({ tap }) => command(`ip link del dev ${tap}`)),
    ...(others.length > 0
      ? [command("nft -f -", replacement(table, rules))]
      : [
          command(`nft delete table inet ${table}`),
          command(`nft delete table bridge ${table}`),
          command(`ip link del dev ${bridge}`),
        ]),
    ...unitCommands(root, "disable").map((argv) => command(argv.join(" "))),
    ...[leasesDirectory(plan), unitPath(root), recordPath(root)].map(
      (path): SetupStep => ({ kind: "remove", path }),
    ),
  ];
}

/**
 * Takes everything away again but forwarding, which others may rely on by now. `conflict` while a
 * machine uses one of the taps. Machines with taps of their own go on.
 */
export async function undoSetup({ root = "/" }: SetupOptions = {}): Promise<void> {
  assertSetupRights();
  const plan = recorded(root);
  const { bridge } = plan;
  await exclusive(async () => {
    const taps = poolTaps(bridge).filter(({ user_uid }) => user_uid === plan.user_uid);
    assertFree(plan, taps);
    if (ownBridge(bridge)) {
      const { subnet6 } = readBridgeMark(bridge) ?? {};
      const alias = bridgeAlias({ gateway: gatewayCidr(plan.subnet), subnet6 });
      await applyLinks([`link set dev ${bridge} alias ${alias}`]);
    }
    await settle(bridge, { remove: taps.map(({ tap }) => tap) });
  });
  removeLeasesDirectory(plan);
  await removeUnit(root);
  removeRecord(root);
}

async function bringUp(plan: SetupPlan): Promise<void> {
  const { bridge } = plan;
  await exclusive(async () => {
    const isNewBridge = ownBridge(bridge) === undefined;
    const links = await bridgeCommandsFor(plan);
    const { commands, made, taps } = poolChange(plan);
    try {
      await applyLinks([...links, ...commands]);
      hardenBridge6(bridge);
      for (const { tap } of taps) disableIpv6(tap);
      enableForwarding();
      if (isToForward6(plan)) enableForwarding6();
      await applyRules(bridge);
      chownSync(makeLeasesDirectory(plan), plan.user_uid, -1);
    } catch (error) {
      const remove = isNewBridge ? [...made, bridge] : made;
      await settle(bridge, { remove }).catch(() => {});
      throw error;
    }
  });
  // Where this fails, names of machines do not resolve on the host, and all else works.
  for (const argv of resolvedCommandsFor(plan)) await run(argv).catch(() => {});
}

/** Also for a bridge that is there for machines of root, and leads no questions anywhere yet. */
async function bridgeCommandsFor(plan: SetupPlan): Promise<string[]> {
  const { bridge, subnet, subnet6, dnsPort } = plan;
  const steps = await bridgeSteps({ bridge, subnet, subnet6, dnsPort });
  const mark = readBridgeMark(bridge);
  if (steps.length > 0 || !mark || mark.dnsPort === dnsPort) return steps;
  return [`link set dev ${bridge} alias ${bridgeAlias({ ...mark, dnsPort })}`];
}

/** If the host has a default route. */
function isToForward6({ subnet6 }: SetupPlan): boolean {
  return subnet6 !== undefined && hasIpv6() && hasUplink6();
}

function resolvedCommandsFor({ bridge, subnet, dnsPort }: SetupPlan): string[][] {
  const server = { address: addressOf(gatewayCidr(subnet)), port: dnsPort };
  return resolvedCommands({ bridge, server });
}

function recorded(root: string): SetupPlan {
  const plan = readRecord(root);
  if (plan) return plan;
  throw new BangerError("not_found", "no network setup found", {
    hint: "sudo banger setup",
  });
}

/** `permission_denied` without root; with root, the other conflicts. */
export function assertSetupRights(hint = "sudo banger setup"): void {
  const obstacle = tapObstacle();
  if (process.getuid?.() === 0) {
    if (obstacle) throw obstacle;
    return;
  }
  throw new BangerError("permission_denied", "Cannot set up the network: root is required", {
    hint,
    cause: obstacle,
  });
}

/** One user and one bridge at a time: another one's machines may be running. */
function assertSameOwner(plan: SetupPlan, root: string): void {
  const old = readRecord(root);
  if (!old || (old.user_uid === plan.user_uid && old.bridge === plan.bridge)) return;
  throw new BangerError(
    "conflict",
    `Cannot set up "${plan.bridge}" for user ${plan.user_uid}: "${old.bridge}" is set up for user ${old.user_uid}`,
    { hint: "Remove it first: sudo banger setup --undo" },
  );
}

function command(text: string, input?: string): SetupStep {
  return { kind: "command", command: text, input };
}
