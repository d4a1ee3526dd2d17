/**
 * Runs the command line from the sources in a separate process, compiled once because most of its start is reading
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
const INPUTS = [
  "src",
  "sdk",
  "recipes",
  "guest",
  "inflate",
  "share",
  "build/bin",
  "scripts",
  "bun.lock",
];
const COMPILED = join(ROOT, "build/cli-");
const OLD_MS = 3_600_000;
let compiled: string | undefined;

export function cliCommand(words: readonly string[]): string[] {
  compiled ??= compile();
  return [compiled, ...words];
}

/** The program of the sources of now, which another test file may have compiled. */
function compile(): string {
  const program = join(`${COMPILED}${digestOfInputs()}`, "banger");
  if (existsSync(program)) return program;
  removeOld();
  const staging = mkdtempSync(COMPILED);
  // For other users' commands as well.
  chmodSync(staging, 0o755);
  const script = join(ROOT, "scripts/compile.ts");
  const argv = [process.execPath, script, join(staging, "banger")];
  const { success, stderr } = Bun.spawnSync(argv);
  if (!success) throw new Error(`Cannot compile the program: ${stderr}`);
  try {
    renameSync(staging, dirname(program));
  } catch {
    // Another process was quicker.
    rmSync(staging, { recursive: true, force: true });
  }
  return program;
}

function removeOld(): void {
  for (const name of readdirSync(dirname(COMPILED)).filter((each) => each.startsWith("cli-"))) {
    const path = join(dirname(COMPILED), name);
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
