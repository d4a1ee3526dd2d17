/** Ends a request, and the stream that answers it, when the token of its caller is revoked or expires. */
import { BangerError } from "#base/error.ts";

/** Calls `end` once the caller may go on no longer, until the result is disposed of. */
export type Hold = (end: () => void) => Disposable;

export class Revocation {
  readonly #controller = new AbortController();
  #held: Disposable | undefined;

  /** Fires when the request may go on no longer. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** From now on the request depends on this token. */
  hold(hold: Hold): void {
    this.#held ??= hold(() => this.#controller.abort());
  }

  /** `unauthorized` if it is revoked already. `isWhole`: the response is over once it is sent. */
  answer(response: Response, isWhole: boolean): Response {
    if (this.signal.aborted) {
      response.body?.cancel().catch(() => {});
      this.release();
      throw new BangerError("unauthorized", "token revoked or expired");
    }
    const { body, headers, status } = response;
    if (body && !isWhole) {
      const isEvents = headers.get("Content-Type")?.startsWith("text/event-stream") === true;
      return new Response(this.#watched(body, isEvents), { status, headers });
    }
    this.release();
    return response;
  }

  release(): void {
    this.#held?.[Symbol.dispose]();
  }

  /** Events may end anywhere; a file that ended early would seem to be whole. */
  #watched(body: ReadableStream<Uint8Array>, isEvents: boolean): ReadableStream<Uint8Array> {
    const reader = body.getReader();
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        const cut = (): void => {
          if (isEvents) controller.close();
          else controller.error(new Error("token revoked or expired"));
          reader.cancel().catch(() => {});
          this.release();
        };
        this.signal.addEventListener("abort", cut, { once: true });
      },
      pull: async (controller) => {
        try {
          const { done, value } = await reader.read();
          if (!done) return controller.enqueue(value);
          controller.close();
        } catch (error) {
          controller.error(error);
        }
        this.release();
      },
      cancel: async (reason) => {
        this.release();
        await reader.cancel(reason);
      },
    });
  }
}
