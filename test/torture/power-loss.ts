/** `make torture`: power-loss.ts [CUTS [SEED]] prints each cut, and fails when a copy is not consistent. */
import { randomInt } from "node:crypto";
import { powerLoss } from "#test/torture/power-loss.ts";

const CUTS_DEFAULT = 50;

const cuts = Number(process.argv[2] ?? CUTS_DEFAULT);
const seed = Number(process.argv[3] ?? randomInt(2 ** 31));
console.log(`${cuts} cuts of the power, seed ${seed}`);
const made = await powerLoss({
  cuts,
  seed,
  onCut: ({ operation, after_ms, outcome, failures }) =>
    console.log(`${after_ms.toFixed(0)} ms into ${operation}: ${failures.join("; ") || outcome}`),
});
const failed = made.filter(({ failures }) => failures.length > 0).length;
const count = (outcome: string) => made.filter((cut) => cut.outcome === outcome).length;
console.log(
  `${made.length} cuts: ${count("done")} done, ${count("undone")} undone, ${failed} failed`,
);
process.exit(failed > 0 ? 1 : 0);
