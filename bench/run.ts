/** Runs all benchmarks, or those named, one after another: `bun bench/run.ts [NAME]...` */
import { readdirSync } from "node:fs";
import { join } from "node:path";

const NO_BENCHMARK = ["run.ts", "measure.ts", "cpu-time.ts", "images.ts", "workspace-work.ts"];

process.chdir(join(import.meta.dir, ".."));
const all = readdirSync("bench")
  .filter((name) => name.endsWith(".ts") && !NO_BENCHMARK.includes(name))
  .map((name) => name.replace(/\.ts$/, ""))
  .sort();
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !all.includes(name));
if (unknown.length > 0) {
  console.error(`There is no benchmark "${unknown.join('", "')}"; there are: ${all.join(", ")}`);
  process.exit(2);
}
let failed = 0;
for (const name of wanted.length > 0 ? wanted : all) {
  console.log(`== ${name}`);
  const child = Bun.spawn([process.execPath, `bench/${name}.ts`], {
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
  });
  if ((await child.exited) !== 0) failed++;
}
process.exit(failed === 0 ? 0 : 1);
