/** A short run of test/fuzz/host.ts, with all inputs that are kept. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { mutate, Random, runHostInput } from "#test/guest-fuzz.ts";

const CORPUS = join(import.meta.dir, "../../test/fuzz/corpus");
const RUNS = 300;

test("whatever is kept of a guest's words, and what comes of it, is survived", async () => {
  const random = new Random(1);
  const corpus = readdirSync(CORPUS).map(
    (name) => new Uint8Array(readFileSync(join(CORPUS, name))),
  );
  expect(corpus.length).toBeGreaterThan(10);
  for (const input of corpus) await runHostInput(input, random);
  for (let run = 0; run < RUNS; run++) await runHostInput(mutate(corpus, random), random);
});
