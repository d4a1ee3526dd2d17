import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import type { Plan } from "#test/firecracker-api.ts";
import { FirecrackerPeer } from "#test/firecracker-peer.ts";
import { createFirecrackerDriver } from "#vmm/firecracker/driver.ts";
import type { FirecrackerMachine } from "#vmm/firecracker/machine.ts";
import { exitError } from "./exit-error.ts";
import { MachineLink } from "./machine-link.ts";
import { askToPowerOff, hintFor } from "./shutdown.ts";

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
  const taken = await askToPowerOff(new MachineLink(machine), { timeout_ms: 50 });
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
  expect(hintFor({ reason: "crashed" }, "box")).toContain("vm logs --console box");
  expect(hintFor({ reason: "crashed" }, undefined)).toBeUndefined();
  const panic = (detail: string) => hintFor({ reason: "panic", detail }, "box");
  expect(panic("Kernel panic - not syncing: Out of memory")).toContain("--memory");
  expect(panic("Kernel panic - not syncing: VFS")).toContain("--kernel-ref");
  expect(hintFor({ reason: "reboot" }, "box")).toBeUndefined();
});

test("a machine whose age is over was removed, one that somebody killed was killed", () => {
  const at = "2026-01-01T00:00:10.000Z";
  const said = (expiresAt: string | undefined, isRemoved = false) =>
    exitError("box", { reason: "killed", at }, { doing: "ran the command", expiresAt, isRemoved });
  expect(said("2026-01-01T00:00:09.000Z")).toMatchObject({
    message: 'machine "box" was removed while it ran the command: its --ttl expired',
    hint: "Use a longer --ttl",
  });
  for (const expiresAt of ["2026-01-01T00:00:11.000Z", undefined]) {
    expect(said(expiresAt).message).toBe('machine "box" was killed while it ran the command');
    expect(said(expiresAt).hint).toBe("Show the console with: banger vm logs --console box");
  }
  expect(said(undefined, true).hint).toBeUndefined();
});
