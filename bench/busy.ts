/** How long `banger vm list` takes while the daemon is at work, and while a guest hangs. */
import { join } from "node:path";
import type { Vm } from "#api/vm.ts";
import { busyboxLayout } from "#test/busybox.ts";
import { install } from "#test/installation.ts";
import { printRatio, race } from "./measure.ts";

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
const list = { run: () => banger.ok("vm", "list") };

const [idle = 0] = await race([{ name: "vm list, nothing else to do", ...list }], ROUNDS);

let isOver = false;
const names = Array.from({ length: OPERATIONS }, (_, index) => `busy-${index}`);
const work = names.map(async (name) => {
  while (!isOver) {
    await banger.ok("vm", "create", "--name", name, ...machine);
    await banger.ok("vm", "rm", "--force", name);
  }
});
const [busy = 0] = await race(
  [{ name: `vm list, ${OPERATIONS} machines being made or removed`, ...list }],
  ROUNDS,
);
isOver = true;
await Promise.all(work);
printRatio("busy / idle", busy / idle, `${BUDGET_MS} ms; it is ${busy.toFixed(0)} ms`);

await banger.ok("vm", "create", "--name", "hung", ...machine);
const { vmm } = await banger.json<Vm>("vm", "show", "hung");
process.kill(vmm?.pid ?? 0, "SIGSTOP");
const waiting = banger.call(["vm", "exec", "hung", "--", "true"]);
const stopping = banger.call(["vm", "stop", "hung", "--grace", "5m"]);
const [hung = 0] = await race([{ name: "vm list, a guest hangs", ...list }], ROUNDS);
printRatio("hung / idle", hung / idle, `${BUDGET_MS} ms; it is ${hung.toFixed(0)} ms`);
await banger.ok("vm", "kill", "hung");
await Promise.all([waiting, stopping]);
