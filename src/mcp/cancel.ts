/**
 * Cancellation for clients of 2025 over HTTP: they send a notification, on a request of its own, which names the request
 * that it means. A session ID, which is good for nothing else, says whose it is.
 */
import { onAbort } from "#base/abort.ts";

export const SESSION_HEADER = "Mcp-Session-Id";

interface Message {
  method: string;
  id?: unknown;
  params?: { requestId?: unknown };
}

/** Requests in progress, by client and ID. */
export class Cancellable {
  readonly #running = new Map<string, AbortController>();

  /** Whether `body` cancels a request; it is ended then. */
  cancel(client: string, body: unknown): boolean {
    if (!isMessage(body) || body.method !== "notifications/cancelled") return false;
    const running = this.#running.get(keyOf(client, body.params?.requestId));
    running?.abort();
    return running !== undefined;
  }

  /** `respond` gets a signal that fires when the client cancels the request, or leaves. */
  async run(
    client: string,
    { body, request }: { body: unknown; request: Request },
    respond: (signal: AbortSignal) => Promise<Response>,
  ): Promise<Response> {
    if (!isMessage(body) || body.id === undefined) return await respond(request.signal);
    const key = keyOf(client, body.id);
    const controller = new AbortController();
    this.#running.set(key, controller);
    const release = (): void => {
      if (this.#running.get(key) === controller) this.#running.delete(key);
    };
    try {
      const response = await respond(AbortSignal.any([request.signal, controller.signal]));
      if (response.body && isStream(response)) {
        onAbort(request.signal, release);
        const body = response.body.pipeThrough(new TransformStream({ flush: release }));
        return new Response(body, response);
      }
      release();
      return response;
    } catch (error) {
      release();
      throw error;
    }
  }

  get size(): number {
    return this.#running.size;
  }
}

function isMessage(body: unknown): body is Message {
  return typeof body === "object" && body !== null && "method" in body;
}

function isStream({ headers }: Response): boolean {
  return headers.get("Content-Type")?.startsWith("text/event-stream") === true;
}

function keyOf(client: string, id: unknown): string {
  return `${client}\0${JSON.stringify(id)}`;
}
