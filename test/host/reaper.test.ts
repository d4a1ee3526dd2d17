import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { processesOf } from "#test/processes.ts";
import { until } from "#test/until.ts";

/** Leaves a program in a session of its own, as a daemon is, and waits to be killed. */
const PROGRAM = `
import { mkdtempSync } from "node:fs";
import { startReaper } from "#test/reaper.ts";
const folder = mkdtempSync("/tmp/banger-reaped-");
startReaper(folder);
Bun.spawn(["sh", "-c", "sleep 1000; :", folder], { detached: true, stdio: ["ignore", "ignore", "ignore"] });
console.log(folder);
setInterval(() => {}, 1000);
`;

test("a test that is killed leaves no process and no folder", async () => {
  const child = Bun.spawn([process.execPath, "-e", PROGRAM], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  for await (const chunk of child.stdout) {
    said += Buffer.from(chunk).toString();
    if (said.endsWith("\n")) break;
  }
  const folder = said.trim();
  expect(folder).toStartWith("/tmp/banger-reaped-");
  // A program has no words yet in the moment in which it replaces its parent's.
  await until(() => processesOf(folder).some(({ command }) => command.includes("sleep 1000")));
  child.kill("SIGKILL");
  while (existsSync(folder) || processesOf(folder).length > 0) await Bun.sleep(20);
});
