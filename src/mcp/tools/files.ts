/** Tools that read and write files in machines. */
import { posix } from "node:path";
import { z } from "zod";
import { FILE_PIECE_MAX_BYTES } from "#api/file.ts";
import { machineField, pathField, userField } from "#mcp/fields.ts";
import { bytesOf, textOf } from "#mcp/text.ts";
import { CHANGERS, EVERYONE, READS, REPLACES, tool } from "#mcp/tool.ts";

const READ_BYTES = 64 * 1024;

export const readTool = tool({
  name: "read",
  title: "Read a file",
  description:
    "Reads a file in a machine, or part of it. Text is returned as it is, other files as base64. `remaining_bytes` says how much follows; continue at `nextOffset`.",
  profile: "default",
  scopes: EVERYONE,
  annotations: READS,
  input: z.object({
    machine: machineField,
    path: pathField,
    offset: z.int().min(0).optional().describe("First byte. Default: 0."),
    length: z.int().min(4).max(FILE_PIECE_MAX_BYTES).optional().describe("Bytes. Default: 65536."),
    user: userField,
  }),
  output: z.object({
    content: z.string(),
    encoding: z.enum(["utf8", "base64"]),
    size_bytes: z.number().describe("Of the whole file."),
    nextOffset: z.number(),
    remaining_bytes: z.number(),
  }),
  async run({ machine, path, offset = 0, length = READ_BYTES, user }, call) {
    const { client, signal } = call;
    const { id: name } = await call.machine(machine);
    const wanted = { name, path, user, offset, length_bytes: length };
    const { data } = await client.file.read(wanted, { signal });
    const bytes = new Uint8Array(Buffer.from(data, "base64"));
    const { size_bytes } = await client.file.stat({ name, path, user }, { signal });
    const text = textOf(bytes, { isCut: offset + bytes.length < size_bytes });
    const count = text === undefined ? bytes.length : Buffer.byteLength(text);
    const nextOffset = offset + count;
    return {
      content: text ?? data,
      encoding: text === undefined ? ("base64" as const) : ("utf8" as const),
      // What /proc has is larger than it says.
      size_bytes: count === 0 ? size_bytes : Math.max(size_bytes, nextOffset),
      nextOffset,
      remaining_bytes: Math.max(0, size_bytes - nextOffset),
    };
  },
});

export const writeTool = tool({
  name: "write",
  title: "Write a file",
  description:
    "Creates or replaces a file in a machine, with missing directories above it. The content is written as a whole.",
  profile: "default",
  scopes: CHANGERS,
  annotations: REPLACES,
  input: z.object({
    machine: machineField,
    path: pathField,
    content: z.string(),
    encoding: z.enum(["utf8", "base64"]).optional().describe("Of `content`. Default: utf8."),
    mode: z
      .string()
      .regex(/^[0-7]{3,4}$/)
      .optional()
      .describe('Permissions, such as "755". Default: those of the existing file, else 644.'),
    user: userField,
  }),
  output: z.object({ path: z.string(), size_bytes: z.number() }),
  async run({ machine, path, content, encoding = "utf8", mode, user }, call) {
    const bytes = bytesOf(content, encoding);
    const { id: vm } = await call.machine(machine);
    const folder = posix.dirname(posix.resolve("/", path));
    const { signal } = call;
    await call.client.file.mkdir({ name: vm, path: folder, user, parents: true }, { signal });
    const stream = call.backend.exec(
      { kind: "write", vm, path, user, mode: mode === undefined ? mode : Number.parseInt(mode, 8) },
      { signal },
    );
    await stream.writeStdin(bytes);
    stream.endStdin();
    await stream.exited;
    return { path, size_bytes: bytes.length };
  },
});
