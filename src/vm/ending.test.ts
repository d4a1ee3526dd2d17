import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import type { Plan } from "#test/firecracker-api.ts";
import { FirecrackerPeer } from "#test/firecracker-peer.ts";
import { createFirecrackerDriver } from "#vmm/firecracker/driver.ts";
import type { FirecrackerMachine } from "#vmm/firecracker/machine.ts";
import { askToPowerOff, hintFor } from "./ending.ts";
import { RunningVm } from "./running.ts";

/** Whose agent never listens. */
const SILENT: Plan = { deafConnections: 1_000_000 };

let folder = "";
let machine: FirecrackerMachine | undefined;
beforeEach(() => {
  folder = mkdtempSync("/tmp/banger-ending-");
});
afterEach(async () => {
  await machine?.kill();
  rmSync(folder, { recursive: true, force: true });
});

async function askSilentGuest(plan: Plan) {
  const peer = new FirecrackerPeer(folder, plan);
  const driver = createFirecrackerDriver({ program: peer.program, jailer: false });
  machine = await driver.boot(peer.spec());
  const taken = await askToPowerOff(new RunningVm(machine), { timeout_ms: 50 });
  const asked = peer.journal().findLast(({ request }) => request === "PUT /actions");
  return { taken, asked, machine };
}

test("a guest whose agent is silent is asked by its keyboard", async () => {
  const { taken, asked, machine } = await askSilentGuest(SILENT);
  expect(taken).toBe(true);
  expect(asked?.body).toEqual({ action_type: "SendCtrlAltDel" });
  expect(await machine.exited).toEqual({ kind: "reboot" });
});

test("a guest that cannot be asked at all is told as such", async () => {
  const { taken } = await askSilentGuest({ ...SILENT, refuse: "PUT /actions:SendCtrlAltDel" });
  expect(taken).toBe(false);
});

test("an end without a word leads to the console, a panic to memory or another kernel", () => {
  expect(hintFor({ reason: "crashed" })).toContain("vm logs");
  const panic = (detail: string) => hintFor({ reason: "panic", detail });
  expect(panic("Kernel panic - not syncing: Out of memory")).toContain("--memory");
  expect(panic("Kernel panic - not syncing: VFS")).toContain("--kernel-ref");
  expect(hintFor({ reason: "reboot" })).toBeUndefined();
});
