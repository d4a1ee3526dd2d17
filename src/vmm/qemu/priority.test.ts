import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { getPriority } from "node:os";
import { identify } from "#base/process-identity.ts";
import { makeNiceLater } from "./priority.ts";

test("a restored machine's threads, and those that they start, give way after a while", async () => {
  // A program with threads.
  await using child = Bun.spawn([process.execPath, "-e", "setInterval(() => {}, 1000)"]);
  const threads = () => readdirSync(`/proc/${child.pid}/task`).map(Number);
  while (threads().length < 2) await Bun.sleep(5);
  const identity = identify(child.pid);
  if (!identity) throw new Error("the program has ended");
  const before = getPriority(child.pid);
  makeNiceLater(identity, 20);
  expect(getPriority(child.pid)).toBe(before);
  while (!threads().every((thread) => getPriority(thread) === 10)) await Bun.sleep(5);
});

test("a process that has the pid of one that is gone keeps its priority", async () => {
  await using child = Bun.spawn(["sleep", "1000"]);
  const identity = identify(child.pid);
  if (!identity) throw new Error("the program has ended");
  makeNiceLater({ ...identity, startTime_ticks: identity.startTime_ticks - 1 }, 0);
  await Bun.sleep(20);
  expect(getPriority(child.pid)).toBe(getPriority());
});
