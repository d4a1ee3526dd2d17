/** MCP on stdin and stdout, until the client closes them or the signal fires. */
import type { Readable, Writable } from "node:stream";
import { StdioServerTransport, serveStdio } from "@modelcontextprotocol/server/stdio";
import { onAbort } from "#base/abort.ts";
import { MiB } from "#base/size.ts";
import type { Backend, ServerSettings } from "./backend.ts";
import { makeServer } from "./server.ts";

/** Of one message: a file that a client writes is in it. */
const MESSAGE_MAX_BYTES = 8 * MiB;

export interface StdioOptions extends ServerSettings {
  backend: Backend;
  stdin: Readable;
  stdout: Writable;
  signal: AbortSignal;
  /** For what goes wrong beside the protocol. */
  note(text: string): void;
}

export async function serveMcp(options: StdioOptions): Promise<void> {
  const { backend, stdin, stdout, signal, note } = options;
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const transport = new StdioServerTransport(stdin, stdout, { maxBufferSize: MESSAGE_MAX_BYTES });
  const handle = serveStdio(() => makeServer(backend, options), {
    transport,
    onerror: (error) => note(error.message),
  });
  // The transport ends with stdin.
  stdin.once("end", resolve);
  stdin.once("close", resolve);
  stdout.once("error", () => resolve());
  using _ = onAbort(signal, resolve);
  await closed;
  await handle.close();
}
