/**
 * Imports a repository of 20,000 files and 1 GB of history into a machine, beside `git clone --no-local` of it on the
 * host and `cp` of the files that are not committed; then once more, when there is nothing new. The first argument is
 * the size of the history in MB.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runOk } from "#base/run.ts";
import { pullBusybox } from "#test/busybox.ts";
import { TestRepository } from "#test/git-server.ts";
import { install } from "#test/installation.ts";
import { printRatio, race } from "./measure.ts";

const ROUNDS = 1;
const FILES = 20_000;
const COMMITS = 5;
const DIRTY = 200;
const HISTORY_MB = Number(process.argv[2] ?? 1000);
const FILE_BYTES = Math.floor((HISTORY_MB * 1e6) / FILES / COMMITS);

await using banger = install();
await pullBusybox(banger);
await banger.ok(
  "vm",
  "create",
  ...["--image", "busybox", "--name", "m", "--mode", "direct"],
  ...["--net", "none"],
);
const repo = new TestRepository(join(banger.home, "project"));
await fill(repo);

let copies = 0;
const [clone = 1, first = 1] = await race(
  [
    {
      name: "git clone --no-local, and cp of the dirty files",
      async run() {
        const copy = join(banger.home, `clone-${copies++}`);
        await runOk(["git", "clone", "--quiet", "--no-local", repo.path, copy], {
          timeout_ms: 600_000,
        });
        await runOk(["cp", "-a", join(repo.path, "dirty"), copy]);
      },
    },
    {
      name: "vm workspace import",
      run: () => banger.ok("vm", "workspace", "import", "m", `${repo.path}:/w${copies++}`),
    },
  ],
  ROUNDS,
);
const [second = 1] = await race(
  [
    {
      name: "vm workspace import, nothing new",
      run: () => banger.ok("vm", "workspace", "import", "m", `${repo.path}:/w${copies - 1}`),
    },
  ],
  ROUNDS,
);
printRatio("first import / clone and cp", first / clone, "1.5");
printRatio("second import / first import", second / first, "0.1");

/** Data that neither compresses nor has deltas. */
async function fill({ path }: TestRepository): Promise<void> {
  const child = Bun.spawn(["git", "-c", "core.compression=0", "fast-import", "--quiet"], {
    cwd: path,
    stdin: "pipe",
  });
  for (let commit = 0; commit < COMMITS; commit++) {
    child.stdin.write(
      `commit refs/heads/main\ncommitter bench <b@e> ${1_700_000_000 + commit} +0000\ndata 0\n`,
    );
    for (let at = 0; at < FILES; at++) {
      child.stdin.write(`M 100644 inline d${at % 200}/f${at}\ndata ${FILE_BYTES}\n`);
      child.stdin.write(crypto.getRandomValues(new Uint8Array(FILE_BYTES)));
      child.stdin.write("\n");
    }
    await child.stdin.flush();
  }
  await child.stdin.end();
  await child.exited;
  await runOk(["git", "-C", path, "reset", "--quiet", "--hard"], { timeout_ms: 600_000 });
  mkdirSync(join(path, "dirty"));
  for (let at = 0; at < DIRTY; at++)
    writeFileSync(join(path, "dirty", String(at)), "dirty\n".repeat(100));
}
