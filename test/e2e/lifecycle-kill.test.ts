/** A short run of what `make torture` does at length: the daemon is killed, and the power cut, in the middle of work. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { LIMIT_MS } from "#test/limit.ts";
import { powerLoss } from "#test/torture/power-loss.ts";
import { torture } from "#test/torture/torture.ts";

// For a run of several files, of which only the first has the default of its own.
setDefaultTimeout(LIMIT_MS);

/** The daemon is killed in every second one, the client interrupted in the others. */
const ROUNDS = 6;
const CUTS = 1;
/** Chosen for nothing: any seed must do. */
const SEED = 7;

test("a daemon that is killed, and a client that is interrupted, lose nothing and leave nothing", async () => {
  const rounds: string[] = [];
  const tallies = await torture({
    kills: ROUNDS,
    seed: SEED,
    victims: ["daemon", "client"],
    onRound: (text) => rounds.push(text),
  });
  const failures = tallies.flatMap((tally) => tally.failures);
  expect({ failures, rounds }).toEqual({ failures: [], rounds });
});

test("a state folder of any moment is a consistent one", async () => {
  const cuts = await powerLoss({ cuts: CUTS, seed: SEED });
  expect(cuts.filter(({ failures }) => failures.length > 0)).toEqual([]);
  expect(cuts).toHaveLength(CUTS);
});
