/** Compares the start of the command line to another program that prints its version. */
import { install } from "#test/installation.ts";
import { printRatio, program, race } from "./measure.ts";

const ROUNDS = 40;
/** `docker --version` takes 11 ms where `skopeo --version` takes 12.5. */
const BUDGET = 11 / 12.5;

await using banger = install();
await banger.ok("daemon", "start");
await race([{ name: "warming up", run: () => banger.ok("version") }], 3);
const [version = 0, skopeo = 1, list = 0] = await race(
  [
    { name: "banger version", run: () => program("build/bin/banger", "version") },
    { name: "skopeo --version", run: () => program("skopeo", "--version") },
    { name: "banger vm list, daemon running", run: () => banger.ok("vm", "list") },
  ],
  ROUNDS,
);
printRatio("banger version / skopeo --version", version / skopeo, `${BUDGET.toFixed(2)}`);
printRatio("banger vm list / skopeo --version", list / skopeo, "none yet");
