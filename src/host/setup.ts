/** `banger setup`: creates the network of one user from the configuration. Works without the daemon. */
import { BangerError } from "#base/error.ts";
import { checkPlan, readRecord, type SetupPlan } from "#net/setup/record.ts";
import {
  assertSetupRights,
  planSetup,
  planUndo,
  restoreSetup,
  type SetupStep,
  setUp,
  undoSetup,
} from "#net/setup/setup.ts";
import { callerUid, configOf, findAccount } from "./account.ts";

export type { SetupStep } from "#net/setup/setup.ts";

const TAPS_DEFAULT = 8;
/** sudo keeps the caller's, and what is made here is for users to reach and read. */
const UMASK = 0o022;
/** Free for a user; the bridge says which it is, so that no daemon needs to know. */
const DNS_PORT = 15_353;

export type SetupAction = "set up" | "undo" | "restore";

export interface RunSetupOptions {
  action: SetupAction;
  /** The words that start this program. */
  program: readonly string[];
  isDryRun: boolean;
  taps: number | undefined;
  hostTaps: number | undefined;
  /** Name or number; default: who called. */
  user: string | undefined;
}

/** Gives what was done, or with `isDryRun` what would be. `restore` tells nothing. */
export async function runSetup(options: RunSetupOptions): Promise<SetupStep[]> {
  const { action, program, isDryRun } = options;
  if (!isDryRun) {
    assertSetupRights(`sudo banger setup${action === "set up" ? "" : ` --${action}`}`);
    process.umask(UMASK);
  }
  if (action === "restore") {
    await restoreSetup();
    return [];
  }
  if (action === "undo") {
    const steps = planUndo();
    if (!isDryRun) await undoSetup();
    return steps;
  }
  const plan = await planOf(options);
  const steps = await planSetup(plan, { program });
  if (!isDryRun) await setUp(plan, { program });
  return steps;
}

/** What is not given stays as it was set up before. */
async function planOf({ user, taps, hostTaps }: RunSetupOptions): Promise<SetupPlan> {
  const old = readRecord("/");
  const named = user === undefined ? undefined : (await findAccount(user)).user_uid;
  const user_uid = named ?? (callerUid() || old?.user_uid || 0);
  if (user_uid === 0) throw needsNone();
  const { values } = await configOf(user_uid);
  return checkPlan({
    bridge: values["network.bridge"],
    subnet: values["network.subnet"],
    subnet6: values["network.subnet6"],
    user_uid,
    taps: taps ?? old?.taps ?? TAPS_DEFAULT,
    hostTaps: hostTaps ?? old?.hostTaps ?? 0,
    dnsPort: DNS_PORT,
  });
}

function needsNone(): BangerError {
  return new BangerError(
    "invalid_argument",
    "Cannot set up the network for root: root does not need it",
    { hint: "Pass the user to set it up for: sudo banger setup --user NAME" },
  );
}
