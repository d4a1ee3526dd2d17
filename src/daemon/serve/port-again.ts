/**
 * Requests for ports of machines on a connection whose first request had another Host, as from clients that reuse
 * connections per address. Each is forwarded over a new connection.
 */

const HOP_FIELDS = ["connection", "keep-alive", "transfer-encoding"];

/** `socket`: the front, which routes a connection by its first request. */
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
