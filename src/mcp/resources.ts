/** Files and logs of machines, as resources. */
import {
  type McpServer,
  ProtocolError,
  ProtocolErrorCode,
  type ReadResourceResult,
  ResourceNotFoundError,
  ResourceTemplate,
} from "@modelcontextprotocol/server";
import { FILE_PIECE_MAX_BYTES } from "#api/file.ts";
import { BangerError, toBangerError } from "#base/error.ts";
import { formatSize } from "#base/size.ts";
import type { Backend } from "./backend.ts";
import { errorText } from "./errors.ts";
import { findMachine, ownMachines } from "./machines.ts";
import { Excerpt, textOf } from "./text.ts";

const LOG_BYTES = 256 * 1024;
const LISTED_MAX = 200;

type Variables = Record<string, string | string[]>;

export function registerResources(server: McpServer, backend: Backend): void {
  const complete = {
    async machine(start: string) {
      const all = await ownMachines(backend, await backend.client());
      return all.map(({ name }) => name).filter((name) => name.startsWith(start));
    },
  };
  const list = async () => {
    const all = await ownMachines(backend, await backend.client());
    const resources = all.slice(0, LISTED_MAX).map(({ name }) => ({
      uri: `banger://machines/${name}/log`,
      name: `Log of ${name}`,
      mimeType: "text/plain",
    }));
    return { resources };
  };
  server.registerResource(
    "log",
    new ResourceTemplate("banger://machines/{machine}/log", { list, complete }),
    {
      title: "Log of a machine",
      description: "Output of the machine's command, or its console if it has none.",
      mimeType: "text/plain",
    },
    (uri, variables, { mcpReq: { signal } }) =>
      reading(uri, () => readLog(backend, uri, { variables, signal })),
  );
  server.registerResource(
    "file",
    new ResourceTemplate("banger://machines/{machine}/files/{+path}", {
      list: undefined,
      complete,
    }),
    {
      title: "File in a machine",
      description: `A file of at most ${formatSize(FILE_PIECE_MAX_BYTES)}; larger ones are read by the tool \`read\`.`,
    },
    (uri, variables, { mcpReq: { signal } }) =>
      reading(uri, () => readFile(backend, uri, { variables, signal })),
  );
}

interface Reading {
  variables: Variables;
  signal: AbortSignal;
}

async function readLog(
  backend: Backend,
  { href: uri }: URL,
  { variables, signal }: Reading,
): Promise<ReadResourceResult> {
  const client = await backend.client();
  const { id } = await findMachine(backend, client, { machine: one(variables, "machine"), signal });
  const log = new Excerpt(LOG_BYTES);
  for await (const { text } of await client.vm.logs({ name: id }, { signal })) {
    log.take(new TextEncoder().encode(text));
  }
  return { contents: [{ uri, mimeType: "text/plain", text: log.text() }] };
}

async function readFile(
  backend: Backend,
  { href: uri }: URL,
  { variables, signal }: Reading,
): Promise<ReadResourceResult> {
  const client = await backend.client();
  const { id: name } = await findMachine(backend, client, {
    machine: one(variables, "machine"),
    signal,
  });
  const path = `/${one(variables, "path")}`;
  const { size_bytes, kind } = await client.file.stat({ name, path }, { signal });
  if (kind === "directory") {
    throw new BangerError("invalid_argument", `Cannot read ${path}: it is a directory`);
  }
  if (size_bytes > FILE_PIECE_MAX_BYTES) {
    throw new BangerError(
      "limit_exceeded",
      `Cannot read ${path}: it has ${formatSize(size_bytes)}, more than ${formatSize(FILE_PIECE_MAX_BYTES)}; read it in parts with the tool \`read\``,
    );
  }
  const { data } = await client.file.read({ name, path }, { signal });
  const text = textOf(Buffer.from(data, "base64"), { isCut: false });
  if (text !== undefined) return { contents: [{ uri, mimeType: "text/plain", text }] };
  return { contents: [{ uri, mimeType: "application/octet-stream", blob: data }] };
}

/** What is missing has an error of its own in the protocol. */
async function reading<T>({ href }: URL, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    const failure = toBangerError(error);
    if (failure.code === "not_found") throw new ResourceNotFoundError(href, errorText(failure));
    throw new ProtocolError(ProtocolErrorCode.InternalError, errorText(failure));
  }
}

function one(variables: Variables, name: string): string {
  const value = variables[name];
  const text = String(Array.isArray(value) ? value.join("/") : value);
  try {
    return decodeURIComponent(text);
  } catch {
    throw new BangerError("invalid_argument", `invalid percent-encoding in the URI: "${text}"`);
  }
}
