/** Measures `banger vm list` while the daemon is busy, and while a guest hangs. */
import { join } from "node:path";
import type { Vm } from "#api/vm.ts";
import { busyboxLayout } from "#test/busybox.ts";
import { install } from "#test/installation.ts";
import { type Contestant, printRatio, race } from "./measure.ts";

const ROUNDS = 30;
const OPERATIONS = 20;
const BUDGET_MS = 60;
const KERNEL = "debian-6.12";

await using banger = install();
await busyboxLayout(join(banger.home, "layout"));
await banger.ok("kernel", "pull", KERNEL);
const source = `oci:${banger.home}/layout`;
await banger.ok("image", "pull", source, "--name", "busybox", "--kernel-ref", KERNEL);
const machine = ["--image", "busybox", "--mode", "direct", "--memory", "96M", "--net", "none"];
/** The whole command; another one that asks nobody, which is as busy a computer's due; and the answer alone. */
const contestants = (when: string): Contestant[] => [
  { name: `vm list, ${when}`, run: () => banger.ok("vm", "list") },
  { name: `version, ${when}`, run: () => banger.ok("version") },
  { name: `the daemon's answer alone, ${when}`, run: askDaemon },
];

const [idle = 1] = await race(contestants("nothing else to do"), ROUNDS);

let isOver = false;
const names = Array.from({ length: OPERATIONS }, (_, index) => `busy-${index}`);
const work = names.map(async (name) => {
  while (!isOver) {
    await banger.ok("vm", "create", "--name", name, ...machine);
    await banger.ok("vm", "rm", "--force", name);
  }
});
// All of them have begun.
while ((await banger.json<Vm[]>("vm", "list")).length < OPERATIONS) await Bun.sleep(50);
const [busy = 0, start = 1] = await race(
  contestants(`${OPERATIONS} machines being made or removed`),
  ROUNDS,
);
isOver = true;
await Promise.all(work);
printRatio(
  "vm list / version, busy",
  busy / start,
  `vm list in ${BUDGET_MS} ms; ${busy.toFixed(0)} ms`,
);

await banger.ok("vm", "create", "--name", "hung", ...machine);
const { vmm } = await banger.json<Vm>("vm", "show", "hung");
process.kill(vmm?.pid ?? 0, "SIGSTOP");
const waiting = banger.call(["vm", "exec", "hung", "--", "true"]);
const stopping = banger.call(["vm", "stop", "hung", "--grace", "5m"]);
const [hung = 0] = await race(contestants("a guest hangs"), ROUNDS);
printRatio("vm list, hung / idle", hung / idle, `${BUDGET_MS} ms; it is ${hung.toFixed(0)} ms`);
await banger.ok("vm", "kill", "hung");
await Promise.all([waiting, stopping]);

async function askDaemon(): Promise<void> {
  const unix = join(banger.home, "run/banger/daemon.sock");
  const response = await fetch("http://localhost/v1/vms", { unix });
  if (!response.ok) throw new Error(await response.text());
  await response.arrayBuffer();
}
