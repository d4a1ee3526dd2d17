/** Tools of the full profile for commands that keep running. */
import { z } from "zod";
import type { Session } from "#api/session.ts";
import { machineField, omittedField, withoutUndefined } from "#mcp/fields.ts";
import { Excerpt, firstOf } from "#mcp/text.ts";
import { ADDS, CHANGERS, durationOf, EVERYONE, READS, REPLACES, tool } from "#mcp/tool.ts";

const SESSIONS_MAX = 200;
const OUTPUT_BYTES = 32 * 1024;
const WAIT_MAX_MS = 60 * 60_000;

const sessionField = z.string().min(1).max(64).describe("Name of the session.");
const sessionOutput = z.object({
  session: z.string(),
  argv: z.array(z.string()),
  state: z.string(),
  pid: z.int().optional(),
  exitCode: z.int().optional(),
  signal: z.string().optional().describe("That killed it."),
  output_bytes: z.number().describe("Printed so far."),
});

function sessionOf({ name, argv, state, pid, exit, outputEnd_bytes }: Session) {
  return withoutUndefined({
    session: name,
    argv,
    state,
    pid,
    exitCode: exit && "code" in exit ? exit.code : undefined,
    signal: exit && "signal" in exit ? exit.signal : undefined,
    output_bytes: outputEnd_bytes,
  });
}

export const sessionStartTool = tool({
  name: "session_start",
  title: "Start a command that keeps running",
  description:
    "Starts a command in a machine and returns at once: servers, watchers, long builds. Its output is kept for `session_output`.",
  profile: "full",
  scopes: CHANGERS,
  annotations: { ...ADDS, openWorldHint: true },
  input: z.object({
    machine: machineField,
    argv: z
      .array(z.string())
      .min(1)
      .max(10_000)
      .describe("Program and arguments, without a shell."),
    session: sessionField.optional().describe("Default: generated."),
    cwd: z.string().min(1).max(4096).optional(),
    env: z.record(z.string(), z.string()).optional(),
    user: z.string().min(1).max(256).optional(),
    terminal: z.boolean().optional().describe("Run it on a terminal of 80x24."),
  }),
  output: sessionOutput,
  async run({ machine, terminal, ...rest }, call) {
    const { id: vm } = await call.machine(machine);
    const size = terminal ? { columns: 80, rows: 24 } : undefined;
    const input = { vm, terminal: size, ...rest };
    return sessionOf(await call.client.session.start(input, { signal: call.signal }));
  },
});

export const sessionListTool = tool({
  name: "session_list",
  title: "List sessions",
  description: "Lists the sessions of a machine, and how those that have ended did.",
  profile: "full",
  scopes: EVERYONE,
  annotations: READS,
  input: z.object({ machine: machineField }),
  output: z.object({ sessions: z.array(sessionOutput), omitted: omittedField }),
  async run({ machine }, call) {
    const { id: vm } = await call.machine(machine);
    const all = await call.client.session.list({ vm }, { signal: call.signal });
    const { first, omitted } = firstOf(all, SESSIONS_MAX);
    return { sessions: first.map(sessionOf), omitted };
  },
});

export const sessionOutputTool = tool({
  name: "session_output",
  title: "Read a session's output",
  description:
    "Returns what a session has printed, from a byte on. Continue at `nextOffset`; with `wait`, it waits for the session to end first.",
  profile: "full",
  scopes: EVERYONE,
  annotations: READS,
  input: z.object({
    machine: machineField,
    session: sessionField,
    offset: z.int().min(0).optional().describe("First byte. Default: 0."),
    wait: z.string().optional().describe('Wait this long for its end, such as "30s".'),
  }),
  output: sessionOutput.extend({
    output: z.string(),
    omitted_bytes: z.int().describe("Left out of the middle."),
    nextOffset: z.number(),
  }),
  async run({ machine, session, offset = 0, wait }, call) {
    const { client, signal } = call;
    const { id: vm } = await call.machine(machine);
    const ref = { vm, session };
    if (wait !== undefined) {
      const timeout_ms = durationOf("wait", wait, { max_ms: WAIT_MAX_MS });
      await client.session.wait({ ...ref, timeout_ms }, { signal }).catch((error) => {
        if (error.code !== "timeout") throw error;
      });
    }
    const output = new Excerpt(OUTPUT_BYTES);
    const stream = call.backend.exec(
      { kind: "session", ...ref, offset, follow: false },
      { signal, onStdout: output.take, onStderr: () => {} },
    );
    await stream.exited;
    const info = await client.session.show(ref, { signal });
    const from = Math.max(offset, Math.min(info.outputStart_bytes, info.outputEnd_bytes));
    return {
      ...sessionOf(info),
      output: output.text(),
      omitted_bytes: output.omitted_bytes,
      nextOffset: from + output.total_bytes,
    };
  },
});

export const sessionSendTool = tool({
  name: "session_send",
  title: "Send input to a session",
  description: "Writes text to a session's standard input.",
  profile: "full",
  scopes: CHANGERS,
  annotations: { ...ADDS, openWorldHint: true },
  input: z.object({
    machine: machineField,
    session: sessionField,
    text: z.string().max(700_000),
    eof: z.boolean().optional().describe("Close its input afterwards."),
  }),
  output: z.object({ sent_bytes: z.int() }),
  async run({ machine, session, text, eof }, call) {
    const { id: vm } = await call.machine(machine);
    const data = Buffer.from(text);
    const input = { vm, session, data: data.toString("base64"), eof };
    await call.client.session.send(input, { signal: call.signal });
    return { sent_bytes: data.length };
  },
});

export const sessionStopTool = tool({
  name: "session_stop",
  title: "Stop and remove a session",
  description: "Kills a session if it is running, and removes it with its output.",
  profile: "full",
  scopes: CHANGERS,
  annotations: REPLACES,
  input: z.object({ machine: machineField, session: sessionField }),
  output: z.object({ removed: z.string() }),
  async run({ machine, session }, call) {
    const { id: vm } = await call.machine(machine);
    await call.client.session.remove({ vm, session, force: true }, { signal: call.signal });
    return { removed: session };
  },
});
