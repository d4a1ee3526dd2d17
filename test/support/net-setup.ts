/**
 * `banger setup` without the command line: `bun net-setup.ts VERB ROOT [PLAN-AS-JSON]`, where VERB
 * is up, restore, undo, plan or plan-undo. Prints what was planned, or the error, as JSON.
 */
import { toBangerError } from "#base/error.ts";
import { checkPlan } from "#net/setup/record.ts";
import { planSetup, planUndo, restoreSetup, setUp, undoSetup } from "#net/setup/setup.ts";

/** Any program of root's. */
const PROGRAM = ["/usr/bin/env"];
const [verb, root = "", json = "{}"] = process.argv.slice(2);

async function work(): Promise<unknown> {
  const options = { root, program: PROGRAM };
  switch (verb) {
    case "up":
      return await setUp(checkPlan(JSON.parse(json)), options);
    case "plan":
      return await planSetup(checkPlan(JSON.parse(json)), options);
    case "restore":
      return await restoreSetup(options);
    case "plan-undo":
      return planUndo(options);
    default:
      return await undoSetup(options);
  }
}

try {
  console.log(JSON.stringify({ ok: (await work()) ?? null }));
} catch (error) {
  const { code, message, hint } = toBangerError(error);
  console.log(JSON.stringify({ error: { code, message, hint } }));
}
