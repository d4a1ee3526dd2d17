import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stagingPath } from "#base/files/atomic.ts";
import { argumentsOf } from "#base/process-identity.ts";
import { until } from "#test/until.ts";
import { endOrphans } from "./orphans.ts";

test("endOrphans() ends what works on something half-made of ours, and nothing else", async () => {
  const root = mkdtempSync(join(tmpdir(), "banger-orphans-"));
  const roots = { state: join(root, "state"), cache: join(root, "cache"), config: "", runtime: "" };
  const [ours, foreign] = [roots.state, join(root, "other")].map((folder) =>
    stagingPath(join(folder, "work")),
  );
  const start = (cwd: string) => {
    mkdirSync(cwd, { recursive: true });
    return Bun.spawn(["sleep", "600"], { cwd, stdio: ["ignore", "ignore", "ignore"] });
  };
  const inside = start(ours ?? "");
  const children = [inside, start(foreign ?? ""), start(roots.state)];
  try {
    // A new process is this program, in its directory, until it has become the other one.
    for (const { pid } of children) await until(() => argumentsOf(pid)[0] === "sleep");
    expect(await endOrphans(roots)).toEqual(["sleep 600"]);
    expect(await inside.exited).toBe(128 + 9);
    expect(children.slice(1).map(({ exitCode, killed }) => [exitCode, killed])).toEqual([
      [null, false],
      [null, false],
    ]);
  } finally {
    for (const child of children) child.kill("SIGKILL");
    rmSync(root, { recursive: true, force: true });
  }
});
