/** Tools that copy machines: forks and snapshots. */
import { z } from "zod";
import { VM_FORKS_MAX } from "#api/snapshot.ts";
import type { Vm } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { machineField, machineOf, machineOutput } from "#mcp/fields.ts";
import { ownerLabels } from "#mcp/machines.ts";
import { ADDS, CHANGERS, REPLACES, tool } from "#mcp/tool.ts";
import { finish } from "#sdk/stream.ts";

export const forkTool = tool({
  name: "fork",
  title: "Fork a running machine",
  description:
    "Creates running copies of a running machine, memory and processes included, to try several ways from one point. The source keeps running.",
  profile: "default",
  scopes: CHANGERS,
  annotations: ADDS,
  input: z.object({
    machine: machineField,
    count: z.int().min(1).max(VM_FORKS_MAX).optional().describe("Default: 1."),
    names: z
      .string()
      .min(1)
      .max(63)
      .optional()
      .describe('Pattern of their names; {} is the number, as in "try-{}". Default: generated.'),
  }),
  output: z.object({ machines: z.array(machineOutput) }),
  async run({ machine, count, names }, call) {
    const { client, signal, settings } = call;
    const { id } = await call.machine(machine);
    const input = { name: id, count, pattern: names };
    const { machines } = await finish(client.vm.fork(input, { signal }), call.onProgress);
    // A copy has neither the labels of its source nor its end.
    const change = { ttl_ms: settings.ttl_ms, labels: ownerLabels(call.backend) };
    const owned = machines.map((vm: Vm) => client.vm.set({ name: vm.id, ...change }, { signal }));
    return { machines: (await Promise.all(owned)).map(machineOf) };
  },
});

export const snapshotTool = tool({
  name: "snapshot",
  title: "Save or restore a machine",
  description:
    'With action "create": saves a machine, with its memory if it runs, under a name that `create` takes as well. With action "restore": sets a machine back to one of its snapshots; everything since is lost.',
  profile: "default",
  scopes: CHANGERS,
  annotations: REPLACES,
  input: z.object({
    machine: machineField,
    action: z.enum(["create", "restore"]),
    name: z
      .string()
      .min(1)
      .max(63)
      .optional()
      .describe("Of the snapshot. Default for create: generated. Needed for restore."),
  }),
  output: z.object({ snapshot: z.string(), machine: machineOutput }),
  async run({ machine, action, name }, call) {
    const { client, signal, onProgress } = call;
    const vm = await call.machine(machine);
    if (action === "create") {
      const work = client.snapshot.create({ name: vm.id, snapshot: name }, { signal });
      const { snapshot } = await finish(work, onProgress);
      return { snapshot: snapshot.name, machine: machineOf(vm) };
    }
    if (name === undefined) {
      throw new BangerError(
        "invalid_argument",
        "missing argument: name of the snapshot to restore",
      );
    }
    const work = client.vm.restore({ name: vm.id, snapshot: name }, { signal });
    return { snapshot: name, machine: machineOf(await finish(work, onProgress)) };
  },
});
