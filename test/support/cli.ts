/** The command line as a process of its own, run from source. */
import { join } from "node:path";

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

const MAIN = join(import.meta.dir, "..", "..", "src", "main.ts");

export function cliCommand(words: readonly string[]): string[] {
  return [process.execPath, MAIN, ...words];
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
