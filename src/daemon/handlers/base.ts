/** What every handler is made with: the contract to implement, and how long work is answered. */
import { AsyncLocalStorage } from "node:async_hooks";
import { getLogger } from "@logtape/logtape";
import { implement } from "@orpc/server";
import { contract } from "#api/contract.ts";
import type { Services } from "#daemon/compose.ts";
import { toOrpcError } from "#daemon/errors.ts";
import { currentCall, inCall } from "#daemon/log.ts";
import { type Work, withProgress } from "#daemon/stream.ts";

const log = getLogger(["banger", "daemon"]);

export type Base = ReturnType<typeof handlerBase>;

export function handlerBase(services: Services) {
  const { calls } = services;
  const os = implement(contract).use(({ next, path }) =>
    inCall(path.join("."), async () => {
      try {
        const result = await next();
        calls.add(path.join("."), "ok");
        return result;
      } catch (error) {
        throw failed(error);
      }
    }),
  );

  function failed(error: unknown) {
    const mapped = toOrpcError(error);
    calls.add(currentCall(), mapped.code);
    log.debug("call failed: {code}, {message}", { code: mapped.code, message: mapped.message });
    return mapped;
  }

  /** Long work as an event iterator, its errors mapped as those of any other procedure. */
  function stream<T>(signal: AbortSignal | undefined, work: (options: Work) => Promise<T>) {
    // It is read when the call itself has returned already.
    const inThisCall = AsyncLocalStorage.snapshot();
    return (async function* () {
      try {
        return yield* withProgress(signal, (options) => inThisCall(work, options));
      } catch (error) {
        throw inThisCall(failed, error);
      }
    })();
  }

  /** What comes until the client leaves, which is no failure. */
  async function* events<T>(signal: AbortSignal | undefined, source: AsyncIterable<T>) {
    const inThisCall = AsyncLocalStorage.snapshot();
    try {
      yield* source;
    } catch (error) {
      if (!signal?.aborted) throw inThisCall(failed, error);
    }
  }

  return { os, stream, events, services };
}
