/** The tool that runs commands. */
import { z } from "zod";
import { BangerError } from "#base/error.ts";
import { machineField, withoutUndefined } from "#mcp/fields.ts";
import { Excerpt } from "#mcp/text.ts";
import { ADDS, CHANGERS, durationOf, isFailure, tool } from "#mcp/tool.ts";

const SHELL = "/bin/sh";
const OUTPUT_BYTES = 32 * 1024;
const OUTPUT_MAX_BYTES = 1024 * 1024;
const TIMEOUT_MS = 5 * 60_000;
const TIMEOUT_MAX_MS = 60 * 60_000;

export const execTool = tool({
  name: "exec",
  title: "Run a command",
  description:
    "Runs a command in a machine until it exits, and returns its exit status and output. A nonzero status is a result, not an error. For what should keep running, use `nohup … &` in the command, or the session tools of the full profile.",
  profile: "default",
  scopes: CHANGERS,
  annotations: { ...ADDS, destructiveHint: true, openWorldHint: true },
  input: z.object({
    machine: machineField,
    command: z.string().max(1_000_000).optional().describe("Script for the machine's /bin/sh."),
    argv: z
      .array(z.string().max(1_000_000))
      .min(1)
      .max(10_000)
      .optional()
      .describe("Instead of `command`: a program and its arguments, without a shell."),
    cwd: z
      .string()
      .min(1)
      .max(4096)
      .optional()
      .describe("Default: the image's, else the user's home."),
    env: z.record(z.string(), z.string()).optional(),
    user: z.string().min(1).max(256).optional().describe("Default: the image's, else root."),
    stdin: z.string().optional(),
    timeout: z
      .string()
      .optional()
      .describe('Such as "90s"; at most 1h. The command is killed then. Default: 5m.'),
    maxOutput: z
      .int()
      .min(256)
      .max(OUTPUT_MAX_BYTES)
      .optional()
      .describe("Bytes to return of stdout and of stderr; the middle is left out. Default: 32768."),
  }),
  output: z.object({
    exitCode: z.int().optional().describe("Absent if the command was killed."),
    signal: z.string().optional().describe("That killed the command, such as KILL."),
    timedOut: z.boolean(),
    stdout: z.string(),
    stderr: z.string(),
    stdoutOmitted_bytes: z.int().describe("Left out of the middle of stdout."),
    stderrOmitted_bytes: z.int().describe("Left out of the middle of stderr."),
  }),
  async run({ machine, command, argv, cwd, env, user, stdin, timeout, maxOutput }, call) {
    if ((command === undefined) === (argv === undefined)) {
      throw new BangerError("invalid_argument", "give one of command and argv");
    }
    const timeout_ms =
      timeout === undefined
        ? TIMEOUT_MS
        : durationOf("timeout", timeout, { max_ms: TIMEOUT_MAX_MS });
    const { id: vm } = await call.machine(machine);
    const stdout = new Excerpt(maxOutput ?? OUTPUT_BYTES);
    const stderr = new Excerpt(maxOutput ?? OUTPUT_BYTES);
    const keep = (excerpt: Excerpt) => (bytes: Uint8Array) => {
      excerpt.take(bytes);
      call.report(lastLine(bytes) ?? `${stdout.total_bytes + stderr.total_bytes} bytes of output`);
    };
    const words = argv ?? [SHELL, "-c", command ?? ""];
    const stream = call.backend.exec(
      {
        kind: "exec",
        vm,
        exec: { argv: words, cwd, env, user, stdin: stdin !== undefined, timeout_ms },
      },
      { signal: call.signal, onStdout: keep(stdout), onStderr: keep(stderr) },
    );
    if (stdin !== undefined) {
      await stream.writeStdin(new TextEncoder().encode(stdin));
      stream.endStdin();
    }
    const exit = await stream.exited.catch((error) => {
      if (error instanceof BangerError && error.code === "timeout") return "timeout" as const;
      throw error;
    });
    return {
      ...(exit === "timeout" ? { timedOut: true, [isFailure]: true } : { timedOut: false }),
      ...withoutUndefined({
        exitCode: typeof exit === "object" && "code" in exit ? exit.code : undefined,
        signal: typeof exit === "object" && "signal" in exit ? exit.signal : undefined,
      }),
      stdout: stdout.text(),
      stderr: stderr.text(),
      stdoutOmitted_bytes: stdout.omitted_bytes,
      stderrOmitted_bytes: stderr.omitted_bytes,
    };
  },
});

const LINE_MAX_LENGTH = 200;

/** Of what has come. */
function lastLine(bytes: Uint8Array): string | undefined {
  const text = new TextDecoder().decode(bytes.subarray(-4 * LINE_MAX_LENGTH)).trimEnd();
  return text.slice(text.lastIndexOf("\n") + 1).slice(-LINE_MAX_LENGTH) || undefined;
}
