/**
 * Fuzzes the host's side of the guest protocol: `bun test/fuzz/host.ts [SECONDS] [SEED]`. An input that ends
 * in anything but results and BangerErrors is written to the corpus, and is an error from then on.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MiB } from "#base/size.ts";
import { mutate, Random, runHostInput } from "#test/guest-fuzz.ts";

const CORPUS = join(import.meta.dir, "corpus");
const MEMORY_MAX_BYTES = 600 * MiB;
/** The newest inputs are what further ones are made of, beside those that are kept. */
const POOL_MAX = 500;

const seconds = Number(process.argv[2] ?? 60);
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000);
const random = new Random(seed);
mkdirSync(CORPUS, { recursive: true });
const kept = readdirSync(CORPUS).map((name) => new Uint8Array(readFileSync(join(CORPUS, name))));
const pool: Uint8Array[] = [new Uint8Array(0), ...kept];
const end_ms = performance.now() + seconds * 1000;
let runs = 0;
process.on("unhandledRejection", (error) => {
  console.error(error);
  process.exit(1);
});
for (; performance.now() < end_ms; runs++) {
  const input = mutate(pool, random);
  try {
    await runHostInput(input, random);
  } catch (error) {
    const name = Bun.hash(input).toString(16);
    writeFileSync(join(CORPUS, name), input);
    console.error(`fuzz: seed ${seed}, run ${runs}, kept as ${name}:`, error);
    process.exit(1);
  }
  pool.push(input);
  if (pool.length > POOL_MAX) pool.splice(kept.length + 1, 1);
  if (process.memoryUsage.rss() > MEMORY_MAX_BYTES) {
    console.error(`fuzz: seed ${seed}, run ${runs}: it takes more than 600 MiB`);
    process.exit(1);
  }
}
console.log(`fuzz: ok, seed ${seed}, ${runs} runs`);
process.exit(0);
