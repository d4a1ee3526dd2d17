/**
 * Runs the commands of `vm workspace` for a client without a shell. They run as processes of their own: git, and the
 * parsers of what a machine has written, are never in the daemon.
 */
import { z } from "zod";
import { progress as progressReport } from "#api/progress.ts";
import { declaresWorkspaceError } from "#api/workspace/contract.ts";
import { BangerError, isErrorCode } from "#base/error.ts";
import type { OnProgress } from "#base/progress.ts";
import { run } from "#base/run.ts";
import { selfCommand } from "#base/self-command.ts";
import { MiB } from "#base/size.ts";

/** An import of a large project over an emulated machine's link. */
const TIMEOUT_MS = 2 * 3600 * 1000;
/** It removes what it has begun. */
const CLEANUP_MS = 10_000;
export const OUTPUT_MAX_BYTES = 16 * MiB;

const reportLine = z.object({ progress: progressReport });
const errorLine = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    hint: z.string().optional(),
  }),
});

export interface CommandOptions {
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/** The document that a command of `vm workspace` prints with --json. */
export async function workspaceCommand(
  words: readonly string[],
  { signal, onProgress }: CommandOptions = {},
): Promise<unknown> {
  const reports = onProgress && new Reports(onProgress);
  const argv = [...selfCommand(), "vm", "workspace", ...words, "--json"];
  try {
    const { exitCode, stdout, stderr } = await run(argv, {
      signal,
      // A command given here never means the repository of the present directory.
      cwd: "/",
      timeout_ms: TIMEOUT_MS,
      cleanup_ms: CLEANUP_MS,
      outputMax_bytes: OUTPUT_MAX_BYTES,
      ...(reports ? { onOutput: (chunk) => reports.take(chunk) } : {}),
    });
    if (exitCode === 0) return stdout.trim() === "" ? undefined : JSON.parse(stdout);
    throw errorIn(stderr);
  } catch (error) {
    if (!(error instanceof BangerError) || error.code !== "limit_exceeded") throw error;
    if (!error.message.endsWith(`printed more than ${OUTPUT_MAX_BYTES} bytes`)) throw error;
    throw new BangerError("limit_exceeded", "Cannot show the workspace: more than 16 MiB of text", {
      hint: "Export it as a file with: banger vm workspace export VM FILE",
    });
  }
}

/** The error that a command has printed with --json. */
export function errorIn(stderr: string): BangerError {
  const found = stderr
    .split("\n")
    .map((line) => errorLine.safeParse(parsed(line)))
    .findLast(({ success }) => success)?.data?.error;
  if (!found) {
    const tail = stderr.trim().slice(-500);
    return new BangerError("internal", `the workspace command failed: ${tail || "no output"}`);
  }
  const { code, message, hint } = found;
  const known = isErrorCode(code) && declaresWorkspaceError(code) ? code : "internal";
  return new BangerError(known, message, { hint });
}

/** Lines of progress among what a command prints. */
export class Reports {
  readonly #onProgress: OnProgress;
  readonly #decoder = new TextDecoder();
  #rest = "";

  constructor(onProgress: OnProgress) {
    this.#onProgress = onProgress;
  }

  take(chunk: Uint8Array): void {
    const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      if (!line.startsWith('{"progress":')) continue;
      const { data } = reportLine.safeParse(parsed(line));
      if (data) this.#onProgress(data.progress);
    }
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
