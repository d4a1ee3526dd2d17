/** Tools of the full profile that change and show how a machine runs. */
import { z } from "zod";
import { machineField, machineOf, machineOutput, omittedField } from "#mcp/fields.ts";
import { Excerpt, firstOf } from "#mcp/text.ts";
import { CHANGERS, EVERYONE, READS, REPLACES, tool } from "#mcp/tool.ts";
import { finish } from "#sdk/stream.ts";

const PROCESSES_MAX = 100;
const LOG_BYTES = 32 * 1024;

export const powerTool = tool({
  name: "power",
  title: "Start, stop or suspend a machine",
  description:
    "Starts, stops, restarts, pauses, resumes or suspends a machine. A suspended one keeps its processes on disk, and its next use resumes it.",
  profile: "full",
  scopes: CHANGERS,
  annotations: REPLACES,
  input: z.object({
    machine: machineField,
    action: z.enum(["start", "stop", "restart", "pause", "resume", "suspend"]),
  }),
  output: machineOutput,
  async run({ machine, action }, call) {
    const { client, signal, onProgress } = call;
    const ref = { name: (await call.machine(machine)).id };
    if (action === "stop") return machineOf(await client.vm.stop(ref, { signal }));
    if (action === "pause") return machineOf(await client.vm.pause(ref, { signal }));
    return machineOf(await finish(client.vm[action](ref, { signal }), onProgress));
  },
});

export const showTool = tool({
  name: "show",
  title: "Show a machine",
  description: "Shows a machine with its use of memory, disk and processor, if it is running.",
  profile: "full",
  scopes: EVERYONE,
  annotations: READS,
  input: z.object({ machine: machineField }),
  output: z.object({
    machine: machineOutput,
    usage: z
      .object({
        uptime_ms: z.number(),
        processes: z.number(),
        memoryTotal_bytes: z.number(),
        memoryAvailable_bytes: z.number(),
        diskTotal_bytes: z.number(),
        diskAvailable_bytes: z.number(),
      })
      .optional(),
  }),
  async run({ machine }, call) {
    const vm = await call.machine(machine);
    if (vm.state !== "running") return { machine: machineOf(vm) };
    const stats = await call.client.inside.stats({ name: vm.id }, { signal: call.signal });
    return {
      machine: machineOf(vm),
      usage: {
        uptime_ms: stats.uptime_ms,
        processes: stats.processes,
        memoryTotal_bytes: stats.memory.total_bytes,
        memoryAvailable_bytes: stats.memory.available_bytes,
        diskTotal_bytes: stats.space.total_bytes,
        diskAvailable_bytes: stats.space.available_bytes,
      },
    };
  },
});

export const processesTool = tool({
  name: "processes",
  title: "List processes",
  description: "Lists the processes of a machine, those that use the most memory first.",
  profile: "full",
  scopes: EVERYONE,
  annotations: READS,
  input: z.object({ machine: machineField }),
  output: z.object({
    processes: z.array(
      z.object({
        pid: z.int(),
        uid: z.int(),
        state: z.string(),
        cpu_ms: z.number(),
        resident_bytes: z.number(),
        command: z.string(),
      }),
    ),
    omitted: omittedField,
  }),
  async run({ machine }, call) {
    const { id } = await call.machine(machine);
    const all = await call.client.inside.processes({ name: id }, { signal: call.signal });
    all.sort((a, b) => b.resident_bytes - a.resident_bytes);
    const { first, omitted } = firstOf(all, PROCESSES_MAX);
    const processes = first.map(({ pid, uid, state, cpu_ms, resident_bytes, command, name }) => ({
      ...{ pid, uid, state, cpu_ms, resident_bytes },
      command: command === "" ? name : command,
    }));
    return { processes, omitted };
  },
});

export const logsTool = tool({
  name: "logs",
  title: "Read a machine's log",
  description: "Returns the output of the machine's command, or its console if it has none.",
  profile: "full",
  scopes: EVERYONE,
  annotations: READS,
  input: z.object({
    machine: machineField,
    console: z.boolean().optional().describe("The console, also if the machine has a command."),
    lines: z.int().min(1).max(100_000).optional().describe("The last ones only."),
  }),
  output: z.object({ log: z.string(), omitted_bytes: z.int() }),
  async run({ machine, console, lines }, call) {
    const { id } = await call.machine(machine);
    const log = new Excerpt(LOG_BYTES);
    const wanted = { name: id, console, tail: lines };
    for await (const { text } of await call.client.vm.logs(wanted, { signal: call.signal })) {
      log.take(new TextEncoder().encode(text));
    }
    return { log: log.text(), omitted_bytes: log.omitted_bytes };
  },
});
