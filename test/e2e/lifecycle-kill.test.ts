/** A short run of what `make torture` does at length: the daemon is killed in the middle of its work. */
import { expect, test } from "bun:test";
import { torture } from "#test/torture/torture.ts";

const KILLS = 6;
/** Chosen for nothing: any seed must do. */
const SEED = 7;

test("a daemon that is killed loses nothing and leaves nothing", async () => {
  const rounds: string[] = [];
  const tallies = await torture({ kills: KILLS, seed: SEED, onRound: (text) => rounds.push(text) });
  const failures = tallies.flatMap((tally) => tally.failures);
  expect({ failures, rounds }).toEqual({ failures: [], rounds });
}, 600_000);
