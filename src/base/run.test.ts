import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bangerErrorOf } from "#test/expect-error.ts";
import { run, runOk } from "./run.ts";

test("run() gives output and status as they are", async () => {
  const result = await run(["sh", "-c", "cat; echo two >&2; exit 3"], { stdin: "one" });
  expect(result).toEqual({ exitCode: 3, stdout: "one", stderr: "two\n" });
});

test("runOk() carries the end of stderr", async () => {
  await expect(runOk(["sh", "-c", "echo the reason >&2; exit 1"])).rejects.toThrow("the reason");
});

test("run() names a program that does not exist", async () => {
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

test("run() lets a program and those that it started clean up, and insists in the end", async () => {
  const folder = mkdtempSync(join(tmpdir(), "banger-run-"));
  const pids = join(folder, "pids");
  // A program in front of one that makes what is to be removed, as a build tool is in front of its tools.
  const inner = `trap 'rm "$0"; exit 1' TERM; echo > "$0"; echo ready; while :; do sleep 0.1; done`;
  const deaf = `trap "" TERM; echo $$ > "$0"; echo ready; exec sleep 600`;
  const cancelled = async (script: string, path: string, cleanup_ms: number): Promise<void> => {
    const abort = new AbortController();
    const argv = ["sh", "-c", `sh -c "$1" "$2" & trap : TERM; wait; wait`, "sh", script, path];
    const onOutput = () => abort.abort();
    const running = run(argv, { signal: abort.signal, cleanup_ms, onOutput });
    await expect(running).rejects.toMatchObject({ code: "cancelled" });
  };
  try {
    await cancelled(inner, join(folder, "made"), 60_000);
    expect(existsSync(join(folder, "made"))).toBe(false);
    await cancelled(deaf, pids, 50);
    // It closes its pipes a moment before it is gone.
    await ended(Number(readFileSync(pids, "utf8")));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a program that runs apart has no variables of ours, and nothing of it is left", async () => {
  process.env["BANGER_TEST_SECRET"] = "secret";
  try {
    const options = { isApart: true, env: { OWN: "own" } };
    const text = "echo $OWN $BANGER_TEST_SECRET; sleep 1000 >/dev/null 2>&1 & echo $!";
    const { stdout } = await run(["sh", "-c", text], options);
    const [shown, pid] = stdout.trim().split("\n");
    expect(shown).toBe("own");
    await ended(Number(pid));
    const slow = ["sh", "-c", "sleep 1000 & echo $! >&2; wait"];
    let said = "";
    const onOutput = (bytes: Uint8Array): void => {
      said += new TextDecoder().decode(bytes);
    };
    // On a busy computer it may be ended before it has started anything.
    for (let timeout_ms = 500; said === ""; timeout_ms *= 2) {
      const failed = run(slow, { isApart: true, timeout_ms, onOutput });
      expect((await bangerErrorOf(failed)).code).toBe("timeout");
    }
    await ended(Number(said));
  } finally {
    delete process.env["BANGER_TEST_SECRET"];
  }
});

async function ended(pid: number): Promise<void> {
  expect(pid).toBeGreaterThan(1);
  while (isAlive(pid)) await Bun.sleep(5);
}

function isAlive(pid: number): boolean {
  const stat = `/proc/${pid}/stat`;
  return existsSync(stat) && !readFileSync(stat, "utf8").includes(") Z");
}
