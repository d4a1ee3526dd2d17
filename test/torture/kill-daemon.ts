/** `make torture`: kill-daemon.ts [KILLS [SEED]] prints each round and a table, and fails on the first kind of trouble. */
import { randomInt } from "node:crypto";
import { type Tally, torture } from "#test/torture/torture.ts";

const KILLS_DEFAULT = 500;
/** One interrupted client for so many killed daemons. */
const INTERRUPTED_PART = 5;

const kills = Number(process.argv[2] ?? KILLS_DEFAULT);
const seed = Number(process.argv[3] ?? randomInt(2 ** 31));
console.log(`${kills} kills, seed ${seed}`);
const onRound = (text: string): void => console.log(text);
const killed = await torture({ kills, seed, onRound });
console.log(`\nThe daemon killed:\n${tableOf(killed)}\n`);
const interrupted = await torture({
  kills: Math.ceil(kills / INTERRUPTED_PART),
  seed,
  victims: ["client"],
  onRound,
});
console.log(`\nThe client interrupted:\n${tableOf(interrupted)}`);
const tallies = [...killed, ...interrupted];
process.exit(tallies.some(({ failures }) => failures.length > 0) ? 1 : 0);

function tableOf(tallies: readonly Tally[]): string {
  const rows = tallies.map((each) => [
    each.operation,
    ...[each.kills, each.done, each.undone, each.late, each.failures.length].map(String),
  ]);
  const head = ["operation", "kills", "done", "undone", "after its end", "failures"];
  const columns = head.map((_, at) =>
    Math.max(...[head, ...rows].map((row) => row[at]?.length ?? 0)),
  );
  const line = (row: string[]) => row.map((cell, at) => cell.padEnd(columns[at] ?? 0)).join("  ");
  return [line(head), ...rows.map(line)].join("\n");
}
