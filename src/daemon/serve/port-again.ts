/**
 * Requests for ports of machines on a connection that began with another one, as clients send them that keep a
 * connection for an address whatever the Host. Each is sent on over a new connection of its own.
 */

const HOP_FIELDS = ["connection", "keep-alive", "transfer-encoding"];

/** `socket`: where a connection is looked at by its first request. */
export async function forwardToPort(request: Request, socket: string): Promise<Response> {
  const { pathname, search } = new URL(request.url);
  const headers = new Headers(request.headers);
  if (headers.has("Upgrade")) return new Response("open another connection\n", { status: 421 });
  headers.set("Connection", "close");
  const init: object = {
    unix: socket,
    method: request.method,
    headers,
    body: request.body,
    signal: request.signal,
    redirect: "manual",
    decompress: false,
    duplex: "half",
    timeout: false,
  };
  try {
    const answer = await fetch(`http://localhost${pathname}${search}`, init);
    const fields = new Headers(answer.headers);
    for (const name of HOP_FIELDS) fields.delete(name);
    return new Response(answer.body, { status: answer.status, headers: fields });
  } catch {
    return new Response("no HTTP response from the machine\n", { status: 502 });
  }
}
