/** Tools of the full profile for images, snapshots, network rules, and files of the host. */
import { z } from "zod";
import { machineField, pathField, userField } from "#mcp/fields.ts";
import { assertOwnSnapshot } from "#mcp/machines.ts";
import { ADDS, CHANGERS, REPLACES, tool } from "#mcp/tool.ts";
import { finish } from "#sdk/stream.ts";

const imageOutput = z.object({ name: z.string(), reference: z.string(), size_bytes: z.number() });

export const imagePullTool = tool({
  name: "image_pull",
  title: "Pull an image",
  description: "Pulls an image from a registry. `create` does so itself when the image is missing.",
  profile: "full",
  scopes: CHANGERS,
  annotations: { ...ADDS, idempotentHint: true, openWorldHint: true },
  input: z.object({ reference: z.string().min(1).max(1024) }),
  output: imageOutput,
  async run({ reference }, { client, signal, onProgress }) {
    const image = await finish(client.image.pull({ reference }, { signal }), onProgress);
    return { name: image.name, reference: image.reference, size_bytes: image.size_bytes };
  },
});

export const imageBuildTool = tool({
  name: "image_build",
  title: "Build an image",
  description:
    "Builds an image from the text of a Dockerfile; its RUN steps execute in a virtual machine.",
  profile: "full",
  scopes: ["full"],
  annotations: { ...REPLACES, openWorldHint: true },
  input: z.object({
    name: z.string().min(1).max(63),
    dockerfile: z.string().min(1).max(1_000_000),
    context: z.string().min(1).max(4095).optional().describe("Directory of the host for COPY."),
    target: z.string().min(1).max(128).optional().describe("Stage to build."),
    args: z.record(z.string(), z.string()).optional(),
  }),
  output: imageOutput,
  async run(input, { client, signal, onProgress }) {
    const image = await finish(client.image.build(input, { signal }), onProgress);
    return { name: image.name, reference: image.reference, size_bytes: image.size_bytes };
  },
});

export const snapshotRemoveTool = tool({
  name: "snapshot_remove",
  title: "Remove a snapshot",
  description:
    "Removes a snapshot of one of this client's machines. Machines created from it stay.",
  profile: "full",
  scopes: CHANGERS,
  annotations: REPLACES,
  input: z.object({ name: z.string().min(1).max(63) }),
  output: z.object({ removed: z.string() }),
  async run({ name }, { backend, client, signal }) {
    await assertOwnSnapshot(backend, client, { name, signal });
    await client.snapshot.remove({ name }, { signal });
    return { removed: name };
  },
});

export const policyTool = tool({
  name: "policy",
  title: "Restrict what a machine can reach",
  description:
    "Sets the only destinations that a machine may reach; an empty list denies everything. Needs a machine with network nat.",
  profile: "full",
  scopes: CHANGERS,
  annotations: REPLACES,
  input: z.object({
    machine: machineField,
    allow: z
      .array(z.string().min(1).max(300))
      .max(64)
      .nullable()
      .describe('Such as "pypi.org:443", "*.debian.org", "192.0.2.0/24"; null removes all limits.'),
  }),
  output: z.object({ machine: z.string(), allow: z.array(z.string()).nullable() }),
  async run({ machine, allow }, call) {
    const { id } = await call.machine(machine);
    const vm = await call.client.vm.setPolicy({ name: id, allow }, { signal: call.signal });
    return { machine: vm.name, allow: vm.network.policy?.allow ?? null };
  },
});

const copied = z.object({ entries: z.number(), size_bytes: z.number(), skipped: z.number() });
const hostField = z.string().min(1).max(4095).describe("Absolute path on the host.");

export const copyInTool = tool({
  name: "copy_in",
  title: "Copy files from the host into a machine",
  description: "Copies a file or directory of the host into a machine, as `cp -a` does.",
  profile: "full",
  scopes: ["full"],
  annotations: REPLACES,
  input: z.object({ machine: machineField, from: hostField, path: pathField, user: userField }),
  output: copied,
  async run({ machine, from, path, user }, call) {
    const { client, signal, onProgress } = call;
    const { id: name } = await call.machine(machine);
    const work = client.file.copyIn({ name, from, path, user }, { signal });
    const { entries, size_bytes, skipped } = await finish(work, onProgress);
    return { entries, size_bytes, skipped };
  },
});

export const copyOutTool = tool({
  name: "copy_out",
  title: "Copy files from a machine to the host",
  description:
    "Copies a file or directory of a machine to the host, as `cp -a` does. Files that are there are replaced.",
  profile: "full",
  scopes: ["full"],
  annotations: REPLACES,
  input: z.object({ machine: machineField, path: pathField, to: hostField, user: userField }),
  output: copied,
  async run({ machine, to, path, user }, call) {
    const { client, signal, onProgress } = call;
    const { id: name } = await call.machine(machine);
    const work = client.file.copyOut({ name, to, path, user }, { signal });
    const { entries, size_bytes, skipped } = await finish(work, onProgress);
    return { entries, size_bytes, skipped };
  },
});

export const fileRemoveTool = tool({
  name: "file_remove",
  title: "Remove a file",
  description: "Removes a file of a machine, or a directory with everything below it.",
  profile: "full",
  scopes: CHANGERS,
  annotations: REPLACES,
  input: z.object({ machine: machineField, path: pathField, user: userField }),
  output: z.object({ removed: z.string() }),
  async run({ machine, path, user }, call) {
    const { id: name } = await call.machine(machine);
    const wanted = { name, path, user, recursive: true };
    await call.client.file.remove(wanted, { signal: call.signal });
    return { removed: path };
  },
});
