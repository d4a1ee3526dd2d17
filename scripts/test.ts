/**
 * Runs every test there is and ends with the line "N passed, N failed".
 *
 *   bun scripts/test.ts [tier | folder | file]...
 *
 * Tiers, which run side by side:
 *   lint   format, types, dead code, and the rules of the tree in test/tidy.test.ts
 *   c      the tests of guest/ and inflate/ in C
 *   unit   src and sdk: no root, no network, no machine
 *   host   test/host: root and the host's programs
 *   e2e    test/e2e: boots machines through build/bin/banger
 *
 * Each job is a process group of its own with a time limit: a test file, or all those of the unit tier
 * together. What it printed is in build/test/ and is shown when it fails; a runner that ends without a
 * report has failed.
 *
 * A skipped test names what it lacks, as in "… [needs KVM]". With CI=true that must be one
 * of WANTED_IN_VAIN: whatever scripts/bootstrap.sh can install is no reason to skip there.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { debianLayout } from "#test/debian.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { readJunit, type TestCounts } from "./junit.ts";

/** What a machine has or has not, whatever is installed on it. */
const WANTED_IN_VAIN = [
  "KVM",
  "Firecracker",
  "vhost-vsock",
  "reflink",
  "arm64",
  "a user without rights",
  "/dev/fuse",
];
const LOGS = "build/test";
/** Jobs at a time. One of them mostly waits: for a boot, a timer, a download. */
const WIDTH = cpus().length + 1;
/** Against what never ends: no test depends on how fast a computer is. */
const FILE_TIMEOUT_S = (8 * LIMIT_MS) / 1000;
/** What takes longest comes first, so that nothing ends alone. */
const LONGEST = [
  "main-job",
  "guest-boot",
  "first-boot",
  "image-machines",
  "provisioned",
  "qemu",
  "hostile-agent",
  "lifecycle",
  "lifecycle-kill",
  "snapshots",
  "network",
  "restore",
  "vmm-conformance",
  "kernel-round-trip",
  "foreground",
  "lifecycle-faults",
  "guest-layers",
  "guest-sessions",
  "guest-commands",
].map((name) => `test/e2e/${name}.test.ts`);
/** Compiles Linux when asked to. */
const KERNELS = "test/host/kernel-recipes.test.ts";

interface Job {
  /** What it is called in the output: a path, or a command. */
  name: string;
  argv: string[];
  timeout_s: number;
  /** Where the JUnit report is written, for tests run by Bun. */
  report?: string;
}

interface Tier {
  name: string;
  jobs: Job[];
  /** How many of them at a time, at the most. */
  width: number;
  /** Its tests skip what only root can do when they run without. */
  wantsRoot?: boolean;
  /** Small files, for which a process each would be most of the work. */
  isOneJob?: boolean;
}

process.chdir(join(import.meta.dir, ".."));
const strict = process.env["CI"] === "true";
const total = { passed: 0, failed: 0, skipped: 0 };
const running = new Set<number>();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    for (const pid of running) killGroup(pid);
    process.exit(130);
  });
}
mkdirSync(LOGS, { recursive: true });
const tiers = selectTiers(process.argv.slice(2));
const throughSudo = process.getuid?.() !== 0 && Bun.which("sudo") !== null;
await runTiers(tiers.filter((tier) => !(tier.wantsRoot && throughSudo)));
const rest = tiers.filter((tier) => tier.wantsRoot && throughSudo);
if (rest.length > 0) await runAsRoot(rest.flatMap(({ jobs }) => jobs.map(({ name }) => name)));
if (total.passed + total.failed === 0) {
  console.log("no test was found");
  total.failed++;
}
if (total.skipped > 0) console.log(`${total.skipped} skipped, each with its reason above`);
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exit(total.failed === 0 ? 0 : 1);

function selectTiers(wanted: string[]): Tier[] {
  const tiers = allTiers();
  if (wanted.length === 0) return tiers;
  const below = (path: string) =>
    wanted.some((each) => path === each || path.startsWith(`${each.replace(/\/$/, "")}/`));
  return tiers
    .map((tier) => ({
      ...tier,
      jobs: wanted.includes(tier.name) ? tier.jobs : tier.jobs.filter((job) => below(job.name)),
    }))
    .filter((tier) => tier.jobs.length > 0)
    .map((tier) => (tier.isOneJob ? { ...tier, jobs: together(tier) } : tier));
}

/** One job of all files of a tier; each has globals of its own. */
function together({ name, jobs }: Tier): Job[] {
  if (jobs.length === 1) return jobs;
  const flags = ["--isolate", `--parallel=${cpus().length}`, "--only-failures"];
  const files = jobs.map((job) => `./${job.name}`);
  return [testJob(`${name}: ${jobs.length} files`, [...flags, ...files])];
}

function allTiers(): Tier[] {
  const bin = "node_modules/.bin";
  const lint = [
    [`${bin}/biome`, "check", "--error-on-warnings", "."],
    [`${bin}/tsc`, "--noEmit", "--incremental", "--tsBuildInfoFile", "build/tsbuildinfo"],
    [`${bin}/knip`, "--no-progress"],
  ];
  const tidy = testFiles("test", 1).map((path) => testFile(path));
  const e2e = testFiles("test/e2e");
  const longest = LONGEST.filter((path) => e2e.includes(path));
  return [
    { name: "lint", jobs: [...lint.map((argv) => command(argv)), ...tidy], width: WIDTH },
    {
      name: "c",
      jobs: ["guest", "inflate"].map((folder) => command(["make", "-s", "-C", folder, "test"])),
      width: 1,
    },
    {
      name: "unit",
      jobs: [...testFiles("src"), ...testFiles("sdk")].map((path) => testFile(path)),
      width: WIDTH,
      isOneJob: true,
    },
    {
      name: "host",
      jobs: testFiles("test/host").map((path) =>
        testFile(path, path === KERNELS ? 3 * 3600 : undefined),
      ),
      // They change what belongs to the whole computer.
      width: 1,
      wantsRoot: true,
    },
    {
      name: "e2e",
      jobs: [...longest, ...e2e.filter((path) => !longest.includes(path))].map((path) =>
        testFile(path),
      ),
      width: WIDTH,
      wantsRoot: true,
    },
  ];
}

function command(argv: string[]): Job {
  return {
    name: argv
      .slice(0, 4)
      .map((word) => word.split("/").at(-1))
      .join(" "),
    argv,
    timeout_s: FILE_TIMEOUT_S,
  };
}

function testFile(path: string, timeout_s?: number): Job {
  return testJob(path, [`./${path}`], timeout_s);
}

function testJob(name: string, words: string[], timeout_s = FILE_TIMEOUT_S): Job {
  const report = join(LOGS, `${fileName(name)}.xml`);
  const argv = [process.execPath, "test", ...words, "--timeout", String(LIMIT_MS)];
  argv.push("--reporter=junit", `--reporter-outfile=${report}`);
  return { name, argv, timeout_s, report };
}

function fileName(job: string): string {
  return job.replaceAll(/[^\w.-]+/g, "_");
}

function testFiles(folder: string, depth = 9): string[] {
  if (!existsSync(folder)) return [];
  return [...new Bun.Glob("**/*.test.{ts,tsx}").scanSync(folder)]
    .filter((path) => path.split("/").length <= depth)
    .map((path) => `${folder}/${path}`)
    .sort();
}

/** This program again, as root, for some files; with our terminal, so that sudo can ask. */
async function runAsRoot(files: string[]): Promise<void> {
  // What is kept in build/cache stays ours.
  await debianLayout();
  console.log("---- the tests that want root run through sudo");
  const environment = ["PATH", "CI", "BANGER_TEST_KERNELS"].map(
    (name) => `${name}=${process.env[name] ?? ""}`,
  );
  const child = Bun.spawn(
    ["sudo", "env", ...environment, process.execPath, "scripts/test.ts", ...files],
    { stdin: "inherit", stdout: "pipe", stderr: "inherit" },
  );
  let last = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    process.stdout.write(chunk);
    last = (last + decoder.decode(chunk, { stream: true })).slice(-1000);
  }
  const counts = /(?:(\d+) skipped.*\n)?(\d+) passed, (\d+) failed\n$/.exec(last);
  await child.exited;
  total.skipped += Number(counts?.[1] ?? 0);
  total.passed += Number(counts?.[2] ?? 0);
  total.failed += Number(counts?.[3] ?? 1);
}

/** The jobs of all tiers, in their order, as many at a time as this computer and each tier bear. */
async function runTiers(tiers: Tier[]): Promise<void> {
  if (tiers.length === 0) return;
  const started_ms = performance.now();
  const lanes = tiers.map(({ jobs, width }) => ({ queue: [...jobs], free: width }));
  const worker = async () => {
    for (;;) {
      const lane = lanes.find(({ queue, free }) => queue.length > 0 && free > 0);
      const job = lane?.queue.shift();
      if (!lane || !job) return;
      lane.free--;
      await runJob(job);
      lane.free++;
    }
  };
  await Promise.all(Array.from({ length: WIDTH }, worker));
  const seconds = ((performance.now() - started_ms) / 1000).toFixed(0);
  console.log(`---- ${tiers.map(({ name }) => name).join(", ")}: ${seconds} s`);
}

async function runJob(job: Job): Promise<void> {
  const started_ms = performance.now();
  const log = join(LOGS, `${fileName(job.name)}.log`);
  if (job.report) rmSync(job.report, { force: true });
  const output = openSync(log, "w");
  const child = Bun.spawn(job.argv, {
    detached: true,
    stdin: "ignore",
    stdout: output,
    stderr: output,
  });
  closeSync(output);
  running.add(child.pid);
  let tooLong = false;
  const timer = setTimeout(() => {
    tooLong = true;
    killGroup(child.pid);
  }, job.timeout_s * 1000);
  const status = await child.exited;
  clearTimeout(timer);
  running.delete(child.pid);
  killGroup(child.pid);

  const counts = job.report ? reportedCounts(job.report, status) : printedCounts(log, status);
  const complaints = counts.skipped.flatMap((name) => skipComplaint(name) ?? []);
  if (tooLong) complaints.push(`It did not end within ${job.timeout_s} s.`);
  counts.failed += complaints.length;
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.skipped += counts.skipped.length;

  const seconds = ((performance.now() - started_ms) / 1000).toFixed(1);
  const skips = counts.skipped.length > 0 ? `, ${counts.skipped.length} skipped` : "";
  const verdict = counts.failed === 0 ? "ok  " : "FAIL";
  const failed = counts.failed > 0 ? `, ${counts.failed} failed` : "";
  console.log(`${verdict} ${job.name}: ${counts.passed} passed${failed}${skips}, ${seconds} s`);
  if (counts.failed > 0 && existsSync(log)) console.log(indent(readTail(log)));
  for (const name of counts.skipped) console.log(`     skipped: ${name}`);
  for (const complaint of complaints) console.log(`     ${complaint}`);
}

function reportedCounts(report: string, status: number): TestCounts {
  const counts = existsSync(report) ? readJunit(readFileSync(report, "utf8")) : undefined;
  if (!counts || counts.passed + counts.failed + counts.skipped.length === 0) {
    return { passed: 0, failed: 1, skipped: [] };
  }
  if (status !== 0 && counts.failed === 0) counts.failed = 1;
  return counts;
}

/** A command counts as one test, unless its output has "N passed, N failed". */
function printedCounts(log: string, status: number): TestCounts {
  const line = [...readFileSync(log, "utf8").matchAll(/^(\d+) passed, (\d+) failed$/gm)].at(-1);
  const passed = line ? Number(line[1]) : status === 0 ? 1 : 0;
  const failed = line ? Number(line[2]) : 0;
  return { passed, failed: status !== 0 && failed === 0 ? 1 : failed, skipped: [] };
}

/** Why this skip is not to be had, undefined when it is all right. */
function skipComplaint(name: string): string | undefined {
  const needs = /\[needs ([^\]]+)\]/.exec(name)?.[1];
  if (!needs) return `Skipped with no "[needs …]" in its name: ${name}`;
  const inVain = needs.split(", ").some((each) => WANTED_IN_VAIN.includes(each));
  return strict && !inVain ? `Skipped in CI, which has what it needs: ${name}` : undefined;
}

/** Ends what a test left behind in its process group as well. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // The group is empty, as it should be.
  }
}

/** The end of a file, as far as it is of use on a screen. */
function readTail(path: string): string {
  const max_bytes = 64 * 1024;
  const text = readFileSync(path, "utf8");
  const cut = statSync(path).size > max_bytes ? `… the whole of it is in ${path}\n` : "";
  return cut + text.slice(-max_bytes);
}

function indent(text: string): string {
  return text.trimEnd().replaceAll(/^/gm, "     | ");
}
