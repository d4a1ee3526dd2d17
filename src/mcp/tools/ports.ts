/** The tool for ports of machines. */
import { z } from "zod";
import { machineField, omittedField, withoutUndefined } from "#mcp/fields.ts";
import { firstOf } from "#mcp/text.ts";
import { ADDS, CHANGERS, tool } from "#mcp/tool.ts";

const SOCKETS_MAX = 200;

export const portsTool = tool({
  name: "ports",
  title: "List and publish ports",
  description:
    "Lists what listens in a machine and which of its ports are published on the host. With `publish`: publishes that port on 127.0.0.1 of the host, on a free port unless `hostPort` is given.",
  profile: "default",
  scopes: CHANGERS,
  annotations: { ...ADDS, idempotentHint: true },
  input: z.object({
    machine: machineField,
    publish: z.int().min(1).max(65_535).optional().describe("TCP port of the machine to publish."),
    hostPort: z.int().min(0).max(65_535).optional(),
  }),
  output: z.object({
    listening: z.array(
      z.object({
        protocol: z.string(),
        address: z.string(),
        port: z.int(),
        process: z.string().optional(),
      }),
    ),
    published: z.array(
      z.object({
        guestPort: z.int(),
        hostAddress: z.string(),
        hostPort: z.int(),
        protocol: z.string(),
      }),
    ),
    omitted: omittedField,
  }),
  async run({ machine, publish, hostPort = 0 }, call) {
    const { client, signal } = call;
    const before = await call.machine(machine);
    const { ports = [] } = before.network;
    const isThere = ports.some(
      (port) => port.guestPort === publish && (hostPort === 0 || port.hostPort === hostPort),
    );
    const wanted = publish !== undefined && !isThere;
    const port = { guestPort: publish ?? 0, hostPort, protocol: "tcp" as const };
    const vm = wanted
      ? await client.vm.publish({ name: before.id, ports: [port] }, { signal })
      : before;
    const all = await client.inside.ports({ name: vm.id }, { signal });
    const { first, omitted } = firstOf(all, SOCKETS_MAX);
    const published = vm.network.ports ?? [];
    return {
      listening: first.map(({ protocol, address, port: number, process }) =>
        withoutUndefined({ protocol, address, port: number, process: process?.name }),
      ),
      published: published.map((each) => ({
        guestPort: each.guestPort,
        hostAddress: each.hostAddress,
        hostPort: each.hostPort,
        protocol: each.protocol,
      })),
      omitted,
    };
  },
});
