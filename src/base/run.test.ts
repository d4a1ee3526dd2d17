import { expect, test } from "bun:test";
import { run, runOk } from "./run.ts";

test("run() gives output and status as they are", async () => {
  const result = await run(["sh", "-c", "cat; echo two >&2; exit 3"], { stdin: "one" });
  expect(result).toEqual({ exitCode: 3, stdout: "one", stderr: "two\n" });
});

test("runOk() carries the end of stderr", async () => {
  await expect(runOk(["sh", "-c", "echo the reason >&2; exit 1"])).rejects.toThrow("the reason");
});

test("run() names a program that is not there", async () => {
  await expect(run(["no-such-program-here"])).rejects.toMatchObject({ code: "not_found" });
});

test("run() ends a program that prints without end", async () => {
  await expect(run(["yes"], { outputMax_bytes: 10_000 })).rejects.toMatchObject({
    code: "limit_exceeded",
  });
});

test("run() ends a program that takes too long, or that nobody waits for any more", async () => {
  await expect(run(["sleep", "60"], { timeout_ms: 20 })).rejects.toMatchObject({ code: "timeout" });
  const abort = new AbortController();
  const running = run(["sleep", "60"], { signal: abort.signal });
  abort.abort();
  await expect(running).rejects.toMatchObject({ code: "cancelled" });
});
