/**
 * The API beside the command line, which are two ways to the same machines: E2B's unmodified client on one side,
 * `banger` on the other. ALIVE=50 also keeps so many sandboxes at once.
 */
import { randomBytes } from "node:crypto";
import { appendFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MiB } from "#base/size.ts";
import { pullBusybox } from "#test/busybox.ts";
import { askNode, listenByConfig, withToken } from "#test/e2b/clients.ts";
import { install } from "#test/installation.ts";
import { printRatio, race } from "./measure.ts";

const ROUNDS = Number(process.env["ROUNDS"] ?? 7);
const COMMANDS = Number(process.env["COMMANDS"] ?? 1000);
const FILE_BYTES = 100 * MiB;
const VM = "bench";

await using banger = install();
// Of so many machines that 24 GiB hold 50.
appendFileSync(join(banger.home, "config/banger/config.toml"), '[vm]\nmemory = "192M"\n');
const url = await listenByConfig(banger);
await pullBusybox(banger);
const served = await withToken(banger, { url, scope: "own" });
const file = join(banger.home, "file");
const copy = join(banger.home, "copy");
writeFileSync(file, randomBytes(FILE_BYTES));
const daemon = () => banger.processes().find(({ command }) => /bangerd|daemon/.test(command));
const before_mib = residentMib();
await using client = await askNode(served, "measure", "busybox", file);
// The template is made by the first machines of their kind.
await client.ask("create");
await client.ask("kill");
await banger.ok("vm", "run", "busybox", "--", "true");

const [run_ms = 1, create_ms = 1] = await race(
  [
    {
      name: "banger vm run busybox -- true",
      run: () => banger.ok("vm", "run", "busybox", "--", "true"),
    },
    {
      name: "Sandbox.create() to the end of the first command",
      prepare: () => client.ask("kill"),
      run: () => client.ask("create"),
    },
  ],
  ROUNDS,
);
printRatio("Sandbox.create() / vm run", create_ms / run_ms, "1.5");

await banger.ok("vm", "create", "--image", "busybox", "--name", VM, "--mode", "direct");
await banger.ok("vm", "exec", VM, "--", "true");
const [execs_ms = 1, runs_ms = 1] = await race(
  [
    {
      name: `${COMMANDS} × banger vm exec ${VM} -- sh -l -c true, one after another`,
      run: async () => {
        for (let left = COMMANDS; left > 0; left--) {
          await banger.ok("vm", "exec", VM, "--", "sh", "-l", "-c", "true");
        }
      },
    },
    {
      name: `${COMMANDS} × commands.run("true"), one after another`,
      run: () => client.ask(`run ${COMMANDS}`),
    },
  ],
  1,
);
printRatio("commands.run() / vm exec", runs_ms / execs_ms, "1.3");

const [cpIn_ms = 1, up_ms = 1] = await race(
  [
    {
      name: "banger vm cp FILE VM:, 100 MiB",
      run: () => banger.ok("vm", "cp", file, `${VM}:/tmp/up`),
    },
    { name: "files.write(), octet-stream", run: () => client.ask("up") },
    { name: "files.write(), multipart", run: () => client.ask("upForm") },
  ],
  3,
);
printRatio("upload / vm cp, in bytes per second", cpIn_ms / up_ms, "at least 0.5");
const [cpOut_ms = 1, down_ms = 1] = await race(
  [
    {
      name: "banger vm cp VM:FILE, 100 MiB",
      prepare: async () => rmSync(copy, { force: true }),
      run: () => banger.ok("vm", "cp", `${VM}:/tmp/up`, copy),
    },
    { name: "files.read()", run: () => client.ask("down") },
  ],
  3,
);
printRatio("download / vm cp, in bytes per second", cpOut_ms / down_ms, "at least 0.5");
console.log(`${String(before_mib).padStart(9)} MiB  resident, of the daemon, before any request`);
console.log(`${String(residentMib()).padStart(9)} MiB  after all of them\n`);

const alive = Number(process.env["ALIVE"] ?? 0);
if (alive > 0) {
  await race(
    [
      { name: `${alive} sandboxes created, 5 at a time`, run: () => client.ask(`alive ${alive}`) },
      { name: "a command in each of them, all at once", run: () => client.ask("everywhere") },
      { name: "all of them killed", run: () => client.ask("killAll") },
    ],
    1,
  );
}
await client.ask("kill");

function residentMib(): number {
  const found = daemon();
  if (!found) throw new Error("the daemon does not run");
  const text = readFileSync(`/proc/${found.pid}/status`, "utf8");
  return Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(text)?.[1] ?? 0) / 1024);
}
