/**
 * Runs the command line from the sources in a separate process, bundled once because most of its start is reading
 * them.
 */
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname, join } from "node:path";

export interface CliOptions {
  env: Record<string, string>;
  stdin?: string | Uint8Array;
  cwd?: string;
}

export interface CliResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

const ROOT = join(import.meta.dir, "../..");
/** What the program is made of. */
const INPUTS = ["src", "sdk", "recipes", "guest", "inflate", "build/bin", "bun.lock"];
/** As far from package.json as the sources are, which read the version there. */
const BUNDLE = join(ROOT, "build/cli-");
const OLD_MS = 3_600_000;
let bundled: string | undefined;

export function cliCommand(words: readonly string[]): string[] {
  bundled ??= bundle();
  return [process.execPath, bundled, ...words];
}

/** The bundle of the sources of now, of which another test file may have made it. */
function bundle(): string {
  const main = join(`${BUNDLE}${digestOfInputs()}`, "main.js");
  if (existsSync(main)) return main;
  removeOld();
  const staging = mkdtempSync(BUNDLE);
  // For other users' commands as well.
  chmodSync(staging, 0o755);
  const flags = ["--target=bun", "--splitting", "--minify-whitespace", `--outdir=${staging}`];
  // The files that it has inside are looked for by their whole paths.
  flags.push(`--public-path=${dirname(main)}/`);
  const source = join(ROOT, "src/main.ts");
  const { success, stderr } = Bun.spawnSync([process.execPath, "build", source, ...flags]);
  if (!success) throw new Error(`Cannot bundle ${source}: ${stderr}`);
  try {
    renameSync(staging, dirname(main));
  } catch {
    // Another process was quicker.
    rmSync(staging, { recursive: true, force: true });
  }
  return main;
}

function removeOld(): void {
  for (const name of readdirSync(dirname(BUNDLE)).filter((each) => each.startsWith("cli-"))) {
    const path = join(dirname(BUNDLE), name);
    const age_ms = Date.now() - statSync(path).mtimeMs;
    if (age_ms > OLD_MS) rmSync(path, { recursive: true, force: true });
  }
}

function digestOfInputs(): string {
  const hash = createHash("sha256");
  for (const input of INPUTS) {
    const path = join(ROOT, input);
    const inside = statSync(path).isDirectory()
      ? readdirSync(path, { recursive: true, encoding: "utf8" }).sort()
      : [""];
    for (const name of inside) {
      const { size, mtimeMs } = statSync(join(path, name));
      hash.update(`${input}/${name} ${size} ${mtimeMs}\n`);
    }
  }
  return hash.digest("hex").slice(0, 16);
}

export function cliEnvironment(env: Record<string, string>): Record<string, string | undefined> {
  // The runtime's own cache would be written into the folders of the test.
  const runtime = { BUN_RUNTIME_TRANSPILER_CACHE_PATH: "0" };
  return { ...process.env, ...runtime, NO_COLOR: "1", ...env };
}

export async function runCli(words: readonly string[], options: CliOptions): Promise<CliResult> {
  const child = Bun.spawn(cliCommand(words), {
    env: cliEnvironment(options.env),
    stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
    stdout: "pipe",
    stderr: "pipe",
    cwd: options.cwd,
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { exitCode, stdout, stderr };
}
