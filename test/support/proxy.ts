/** An HTTP proxy in front of a real registry that can cut, corrupt, delay or replace responses. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface SeenRequest {
  method: string;
  path: string;
  range: string | undefined;
  authorization: string | undefined;
}

export type Trouble =
  /** Ends the connection after this many bytes of the body. */
  | { kind: "cut"; after_bytes: number }
  /** Sends this many bytes of the body, and then nothing more. */
  | { kind: "stall"; after_bytes: number }
  /** Inverts one byte of the body. */
  | { kind: "flip"; at_byte: number }
  /** Sends the whole body though only a part was asked for. */
  | { kind: "whole" }
  /** Answers in the registry's stead. */
  | {
      kind: "answer";
      status: number;
      headers?: Record<string, string>;
      body?: string | Uint8Array;
    };

export interface Proxy extends AsyncDisposable {
  /** "127.0.0.1:PORT". */
  readonly host: string;
  /** In the order of their arrival. */
  readonly seen: SeenRequest[];
}

export interface ProxyOptions {
  /** Asked for each request; undefined lets it pass. */
  trouble?: (request: SeenRequest) => Trouble | undefined;
  /** Sent to the registry instead of what the client sends. */
  authorization?: string;
}

export async function startProxy(target: string, options: ProxyOptions = {}): Promise<Proxy> {
  const seen: SeenRequest[] = [];
  const server = createServer((request, response) => {
    const entry = {
      method: request.method ?? "",
      path: request.url ?? "",
      range: request.headers.range,
      authorization: request.headers.authorization,
    };
    seen.push(entry);
    forward(request, response, { target, options, trouble: options.trouble?.(entry) }).catch(() =>
      response.destroy(),
    );
  });
  const listening = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", () => listening.resolve());
  await listening.promise;
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    async [Symbol.asyncDispose]() {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      server.closeAllConnections();
      await closed.promise;
    },
  };
}

async function forward(
  request: IncomingMessage,
  response: ServerResponse,
  context: { target: string; options: ProxyOptions; trouble: Trouble | undefined },
): Promise<void> {
  const { target, options, trouble } = context;
  if (trouble?.kind === "answer") {
    response.writeHead(trouble.status, trouble.headers);
    response.end(trouble.body ?? "");
    return;
  }
  const headers = new Headers();
  for (const name of ["accept", "range", "authorization"]) {
    const value = request.headers[name];
    const isIgnored = name === "range" && trouble?.kind === "whole";
    if (typeof value === "string" && !isIgnored) headers.set(name, value);
  }
  if (options.authorization) headers.set("authorization", options.authorization);
  const upstream = await fetch(`http://${target}${request.url}`, {
    method: request.method ?? "GET",
    headers,
    redirect: "manual",
  });
  response.writeHead(upstream.status, Object.fromEntries(upstream.headers));
  const body = Buffer.from(await upstream.arrayBuffer());
  if (trouble?.kind === "flip" && body.length > trouble.at_byte) {
    body[trouble.at_byte] = ~(body[trouble.at_byte] ?? 0) & 0xff;
  }
  if (trouble?.kind !== "cut" && trouble?.kind !== "stall") {
    response.end(body);
    return;
  }
  const written = Promise.withResolvers<void>();
  response.write(body.subarray(0, trouble.after_bytes), () => written.resolve());
  await written.promise;
  if (trouble.kind === "cut") response.destroy();
}
