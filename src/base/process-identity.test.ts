import { expect, test } from "bun:test";
import { argumentsOf, identify, isRunning } from "./process-identity.ts";

test("tells a running process from a reused pid and from one that is gone", async () => {
  const child = Bun.spawn(["sleep", "60"]);
  const identity = identify(child.pid);
  try {
    expect(identity?.pid).toBe(child.pid);
    if (!identity) return;
    expect(isRunning(identity)).toBe(true);
    // The new process is this program until it has become the other one.
    while (argumentsOf(child.pid)[0] !== "sleep") await Bun.sleep(1);
    expect(isRunning({ ...identity, startTime_ticks: identity.startTime_ticks - 1 })).toBe(false);
    expect(argumentsOf(child.pid)).toEqual(["sleep", "60"]);
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
  expect(identify(child.pid)).toBeUndefined();
  expect(argumentsOf(child.pid)).toEqual([]);
});

test("a name with blanks and parentheses does not shift the fields", async () => {
  const child = Bun.spawn(["bash", "-c", 'echo "a) R 1 (b" > /proc/self/comm; read -r'], {
    stdin: "pipe",
  });
  try {
    const before = identify(child.pid);
    expect(before).toBeDefined();
    await Bun.sleep(100);
    expect(identify(child.pid)).toEqual(before);
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
});

test("nonsense is no process", () => {
  for (const pid of [0, -1, 1.5, Number.NaN, 2 ** 40]) expect(identify(pid)).toBeUndefined();
});
