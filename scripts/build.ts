/**
 * Builds build/bin/banger, a single file that contains the whole program, and build/bin/bangerd, a link to it. Does
 * nothing if neither the sources nor the commit have changed since the last build.
 */
import { createHash } from "node:crypto";
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { compileProgram, packageVersion } from "./compile.ts";

const INPUTS = [
  ..."src sdk recipes guest inflate jail share".split(" "),
  ..."scripts/build.ts scripts/compile.ts package.json bun.lock".split(" "),
];
const BIN = "build/bin";
const STAMP = `${BIN}/.stamp`;
/** What the program has inside. */
const EMBEDDED = [
  "banger-vsock-agent",
  "banger-inflate",
  "banger-jail",
  "banger-share",
  "banger-ui.pack",
].map((name) => `${BIN}/${name}`);

process.chdir(join(import.meta.dir, ".."));
mkdirSync(BIN, { recursive: true });
const started_ms = performance.now();
const commit = describeCommit();
const stamp = inputDigest(commit);
if (isBuilt(stamp)) process.exit(0);
await build();
writeFileSync(STAMP, stamp);
const seconds = ((performance.now() - started_ms) / 1000).toFixed(1);
const mebibytes = (statSync(`${BIN}/banger`).size / 1024 ** 2).toFixed(0);
console.error(`build: ${BIN}/banger, ${mebibytes} MiB, commit ${commit}, in ${seconds} s`);

async function build(): Promise<void> {
  const scratch = mkdtempSync("build/compile-");
  try {
    await compileProgram(join(scratch, "banger"), {
      version: await packageVersion(),
      commit,
      builtAt: buildTime(),
    });
    linkSync(join(scratch, "banger"), join(scratch, "bangerd"));
    for (const name of ["banger", "bangerd"]) renameSync(join(scratch, name), join(BIN, name));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function isBuilt(wanted: string): boolean {
  const outputs = [STAMP, `${BIN}/banger`, `${BIN}/bangerd`];
  return outputs.every((path) => existsSync(path)) && readFileSync(STAMP, "utf8") === wanted;
}

/** Of everything that the program is made from, names and contents. */
function inputDigest(seed: string): string {
  const hash = createHash("sha256").update(seed).update(Bun.version);
  for (const path of [...INPUTS.flatMap(filesBelow), ...EMBEDDED]) {
    hash.update(`\0${path}\0`).update(readFileSync(path));
  }
  return hash.digest("hex");
}

function filesBelow(path: string): string[] {
  if (!existsSync(path)) return [];
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** "0a1b2c3d4e5f", with "-dirty" when the work tree differs; "unknown" outside of git. */
function describeCommit(): string {
  const head = git("rev-parse", "--short=12", "HEAD");
  if (!head) return "unknown";
  return git("status", "--porcelain", "--untracked-files=no") ? `${head}-dirty` : head;
}

function git(...args: string[]): string {
  const result = Bun.spawnSync(["git", ...args], { stderr: "ignore" });
  return result.exitCode === 0 ? result.stdout.toString().trim() : "";
}

/** Now, or what SOURCE_DATE_EPOCH says, for builds that must come out the same. */
function buildTime(): string {
  const epoch_s = Number(process.env["SOURCE_DATE_EPOCH"]);
  const time = epoch_s > 0 ? new Date(epoch_s * 1000) : new Date();
  return time.toISOString().replace(/\.\d+Z$/, "Z");
}
