/** Tools that make machines, list and remove them. */
import { z } from "zod";
import { VM_TTL_MIN_MS } from "#api/vm.ts";
import { formatDuration } from "#base/duration.ts";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import {
  machineField,
  machineOf,
  machineOutput,
  omittedField,
  pathField,
  userField,
} from "#mcp/fields.ts";
import { assertOwnSnapshot, ownerLabels, ownMachines, ownSnapshots } from "#mcp/machines.ts";
import { firstOf } from "#mcp/text.ts";
import {
  ADDS,
  CHANGERS,
  durationOf,
  EVERYONE,
  READS,
  REPLACES,
  sizeOf,
  type ToolCall,
  tool,
} from "#mcp/tool.ts";
import { finish } from "#sdk/stream.ts";

const LIST_MAX = 200;

export const createTool = tool({
  name: "create",
  title: "Create a machine",
  description:
    "Creates a Linux virtual machine from an OCI image or a snapshot, and starts it. The image is pulled if it is missing. The machine runs nothing of its own; use `exec`. It is removed when its ttl is over.",
  profile: "default",
  scopes: CHANGERS,
  annotations: { ...ADDS, openWorldHint: true },
  input: z.object({
    image: z
      .string()
      .min(1)
      .max(1024)
      .optional()
      .describe('Image reference, such as "debian:bookworm". Default: the configured one.'),
    snapshot: z
      .string()
      .min(1)
      .max(63)
      .optional()
      .describe("Create it from this snapshot instead of an image; it goes on from there."),
    name: z
      .string()
      .min(1)
      .max(63)
      .optional()
      .describe("Lower-case letters, digits, dashes. Default: generated."),
    cpus: z.int().min(1).max(64).optional(),
    memory: z.string().optional().describe('Such as "512M" or "2G".'),
    disk: z.string().optional().describe('Size of the disk, such as "20G".'),
    network: z
      .enum(["nat", "user", "none"])
      .optional()
      .describe(
        "nat and user reach the internet; none reaches nothing. Default: the configured one.",
      ),
    allow: z
      .array(z.string().min(1).max(300))
      .max(64)
      .optional()
      .describe('The only destinations it may reach, such as "pypi.org:443" or "*.debian.org".'),
    env: z.record(z.string(), z.string()).optional().describe("Environment of all commands."),
    systemd: z
      .boolean()
      .optional()
      .describe("Boot an init system, for services. Default: false, which is faster."),
    ttl: z.string().optional().describe('Lifetime, such as "30m". Default: the longest allowed.'),
  }),
  output: machineOutput,
  async run(input, call) {
    const { image, snapshot, name, cpus, network, env, allow, systemd, ttl } = input;
    if (image !== undefined && snapshot !== undefined) {
      throw new BangerError("invalid_argument", "conflicting arguments: image and snapshot");
    }
    const ttl_ms = ttlOf(ttl, call);
    if (snapshot !== undefined) {
      const wanted = { name: snapshot, signal: call.signal };
      await assertOwnSnapshot(call.backend, call.client, wanted);
    }
    const memory_bytes = sizeOf("memory", input.memory);
    const boot = systemd ? { mode: "systemd" as const } : { mode: "direct" as const, command: [] };
    const work = call.client.vm.create(
      {
        ...(snapshot === undefined ? { image, ...boot } : { snapshot }),
        ...{ name, cpus, network, env },
        memory_mib: memory_bytes === undefined ? undefined : Math.ceil(memory_bytes / MiB),
        disk_bytes: sizeOf("disk", input.disk),
        policy: allow && { allow },
        labels: ownerLabels(call.backend),
        ttl_ms,
      },
      { signal: call.signal },
    );
    return machineOf(await finish(work, call.onProgress));
  },
});

function ttlOf(ttl: string | undefined, { settings }: ToolCall): number {
  if (ttl === undefined) return settings.ttl_ms;
  const ttl_ms = durationOf("ttl", ttl, { max_ms: Number.MAX_SAFE_INTEGER });
  if (ttl_ms >= VM_TTL_MIN_MS && ttl_ms <= settings.ttl_ms) return ttl_ms;
  throw new BangerError(
    "invalid_argument",
    `invalid value for ttl: "${ttl}" is not between 1s and ${formatDuration(settings.ttl_ms)}`,
  );
}

const entryOutput = z.object({ name: z.string(), kind: z.string(), size_bytes: z.number() });

export const listTool = tool({
  name: "list",
  title: "List machines, snapshots and images, or a directory",
  description:
    "Without arguments: the machines of this client, their snapshots, and the images that are here. With `machine`: the entries of a directory in it.",
  profile: "default",
  scopes: EVERYONE,
  annotations: READS,
  input: z.object({
    machine: machineField.optional(),
    path: pathField.optional().describe("Directory in the machine. Default: /."),
    user: userField,
  }),
  output: z.object({
    machines: z.array(machineOutput).optional(),
    snapshots: z
      .array(
        z.object({
          name: z.string(),
          machine: z.string(),
          image: z.string(),
          createdAt: z.string(),
        }),
      )
      .optional(),
    images: z.array(z.object({ name: z.string(), reference: z.string() })).optional(),
    entries: z.array(entryOutput).optional(),
    omitted: omittedField,
  }),
  async run({ machine, path = "/", user }, call) {
    const { client, signal } = call;
    if (machine !== undefined) {
      const { id } = await call.machine(machine);
      const all = await client.file.list({ name: id, path, user }, { signal });
      const { first, omitted } = firstOf(all, LIST_MAX);
      const entries = first.map(({ name, kind, size_bytes }) => ({ name, kind, size_bytes }));
      return { entries, omitted };
    }
    const vms = firstOf(await ownMachines(call.backend, client, signal), LIST_MAX);
    const snapshots = firstOf(await ownSnapshots(call.backend, client, signal), LIST_MAX);
    const images = firstOf(await client.image.list(undefined, { signal }), LIST_MAX);
    return {
      machines: vms.first.map(machineOf),
      snapshots: snapshots.first.map((each) => ({
        name: each.name,
        machine: each.machine,
        image: each.image,
        createdAt: each.createdAt,
      })),
      images: images.first.map(({ name, reference }) => ({ name, reference })),
      omitted: vms.omitted + snapshots.omitted + images.omitted,
    };
  },
});

export const removeTool = tool({
  name: "remove",
  title: "Remove a machine",
  description: "Removes a machine and its disk, also if it is running. Its snapshots stay.",
  profile: "default",
  scopes: CHANGERS,
  annotations: REPLACES,
  input: z.object({ machine: machineField }),
  output: z.object({ removed: z.string() }),
  async run({ machine }, call) {
    const { id, name } = await call.machine(machine);
    await call.client.vm.remove({ name: id, force: true }, { signal: call.signal });
    return { removed: name };
  },
});
