/**
 * Imports a large repository into a machine, beside `git clone --no-local` of it on the host and `cp` of the files that
 * are not committed, and beside `vm cp` of that clone, which is what the machine's disk and stream cost at all; then once
 * more, when there is nothing new. Then the work of developers on the machine's disk, beside a volume and a share.
 *
 *     bench/workspace.ts [--full] [--files N] [--history MB] [--sources N] [--packages N]
 *
 * --full: 20,000 files, 1 GB, 100 sources and 300 packages.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runOk } from "#base/run.ts";
import { debianLayout } from "#test/debian.ts";
import { TestRepository } from "#test/git-server.ts";
import { install } from "#test/installation.ts";
import { cpuTimes, printProfile } from "./cpu-time.ts";
import { printRatio, race } from "./measure.ts";
import { makeProjects, measureWork } from "./workspace-work.ts";

const COMMITS = 5;
const TOOLS = ["git", "gcc", "libc6-dev", "make", "nodejs", "npm"];
/** With 9P, for the shared directory. */
const KERNEL = "debian-full-6.12";

const { values } = parseArgs({
  options: {
    full: { type: "boolean", default: false },
    files: { type: "string" },
    history: { type: "string" },
    sources: { type: "string" },
    packages: { type: "string" },
  },
});
const defaults = values.full
  ? { files: 20_000, history: 1000, sources: 100, packages: 300 }
  : { files: 2000, history: 40, sources: 5, packages: 25 };
const files = Number(values.files ?? defaults.files);
const history_mb = Number(values.history ?? defaults.history);
const scale = {
  sources: Number(values.sources ?? defaults.sources),
  packages: Number(values.packages ?? defaults.packages),
};
const dirty = Math.ceil(files / 100);
console.log(
  `${files} files, ${history_mb} MB in ${COMMITS} commits, ${dirty} files not committed; ` +
    `${scale.sources} sources in C, ${scale.packages} packages of npm`,
);

await using banger = install();
const layout = await debianLayout({ with: { name: "project-tools", packages: TOOLS } });
await banger.ok("kernel", "pull", KERNEL);
await banger.ok("image", "pull", `oci:${layout}`, "--name", "tools", "--kernel-ref", KERNEL);
mkdirSync(join(banger.home, "share"));
await banger.ok(
  ...["vm", "create", "--image", "tools", "--name", "m", "--mode", "direct", "--net", "none"],
  ...["-v", "data:/volume", "-v", `${join(banger.home, "share")}:/share`],
);
const repo = new TestRepository(join(banger.home, "project"));
await fill(repo.path);
const copy = join(banger.home, "clone");

/** By name, of the processors: where the time of each goes. */
const profiles: [string, ReturnType<typeof cpuTimes>][] = [];
async function profiled(name: string, run: () => Promise<unknown>): Promise<void> {
  const before = cpuTimes(banger);
  await run();
  const after = cpuTimes(banger);
  profiles.push([name, after.map((ms, index) => ms - (before[index] ?? 0))]);
}

const [clone = 1, raw = 1, pack = 1, first = 1] = await race(
  [
    {
      name: "git clone --no-local, and cp of the dirty files",
      run: () =>
        profiled("clone and cp", async () => {
          await runOk(["git", "clone", "--quiet", "--no-local", repo.path, copy], {
            timeout_ms: 600_000,
          });
          await runOk(["cp", "-a", join(repo.path, "dirty"), copy]);
        }),
    },
    {
      name: "vm cp of the clone",
      run: () => profiled("vm cp", () => banger.ok("vm", "cp", copy, "m:/raw")),
    },
    {
      name: "git pack-objects of it, a part of the import",
      run: () =>
        runOk(
          ["git", "-C", repo.path, "pack-objects", "--all", "--quiet", join(banger.home, "p")],
          {
            timeout_ms: 600_000,
          },
        ),
    },
    {
      name: "vm workspace import",
      run: () =>
        profiled("first import", () => banger.ok("vm", "workspace", "import", "m", repo.path)),
    },
  ],
  1,
);
const [second = 1] = await race(
  [
    {
      name: "vm workspace import, nothing new",
      run: () => banger.ok("vm", "workspace", "import", "m", repo.path),
    },
  ],
  1,
);
printRatio("first import / clone and cp", first / clone, "1.5");
printRatio("first import / vm cp and packing", first / (raw + pack), "none");
printRatio("second import / first import", second / first, "0.1");
printProfile(profiles);

const projects = join(banger.home, "projects");
await makeProjects(projects, scale);
await banger.ok("vm", "cp", projects, "m:/projects");
await measureWork(banger);

/** Data that neither compresses nor has deltas. */
async function fill(path: string): Promise<void> {
  const child = Bun.spawn(["git", "-c", "core.compression=0", "fast-import", "--quiet"], {
    cwd: path,
    stdin: "pipe",
  });
  const fileBytes = Math.floor((history_mb * 1e6) / files / COMMITS);
  for (let commit = 0; commit < COMMITS; commit++) {
    child.stdin.write(
      `commit refs/heads/main\ncommitter bench <b@e> ${1_700_000_000 + commit} +0000\ndata 0\n`,
    );
    for (let at = 0; at < files; at++) {
      child.stdin.write(`M 100644 inline d${at % 200}/f${at}\ndata ${fileBytes}\n`);
      child.stdin.write(crypto.getRandomValues(new Uint8Array(fileBytes)));
      child.stdin.write("\n");
    }
    await child.stdin.flush();
  }
  await child.stdin.end();
  await child.exited;
  await runOk(["git", "-C", path, "reset", "--quiet", "--hard"], { timeout_ms: 600_000 });
  mkdirSync(join(path, "dirty"));
  for (let at = 0; at < dirty; at++)
    writeFileSync(join(path, "dirty", String(at)), "dirty\n".repeat(100));
}
