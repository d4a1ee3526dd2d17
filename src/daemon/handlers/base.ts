/** What every handler is built from: the contract, call logging, and streams of progress and events. */
import { AsyncLocalStorage } from "node:async_hooks";
import { getLogger } from "@logtape/logtape";
import { implement } from "@orpc/server";
import { contract } from "#api/contract.ts";
import { declares } from "#api/procedure.ts";
import type { Caller } from "#api/serve/caller.ts";
import type { Services } from "#daemon/compose.ts";
import { toOrpcError } from "#daemon/errors.ts";
import { currentCall, inCall, UNDECLARED } from "#daemon/log.ts";
import type { CallCounts } from "#daemon/metrics.ts";
import { authorize } from "#daemon/serve/authorize.ts";
import { type Work, withProgress } from "#daemon/stream.ts";

const log = getLogger(["banger", "daemon"]);

export interface CallContext {
  caller: Caller;
}

export type Base = ReturnType<typeof handlerBase>;

export function handlerBase(services: Services) {
  const outcomes = new Outcomes(services.calls);
  const mapped = implement(contract)
    // Between the two: input that does not fit the contract is an error as any other, and what is checked fits it.
    .$config({ initialInputValidationIndex: -1 })
    .$context<CallContext>();
  const os = mapped
    .use(({ next, path, procedure, context: { caller } }) => {
      const { route, errorMap } = procedure["~orpc"];
      const isRead = route.method === "GET";
      const token = caller.token === undefined ? undefined : caller.name;
      return inCall({ procedure: path.join("."), isRead, errorMap, token }, async () => {
        try {
          const result = await next();
          // A stream has only begun.
          if (!isStream(result.output)) outcomes.record("ok");
          return result;
        } catch (error) {
          throw outcomes.failed(error);
        }
      });
    })
    .use(({ next, path, context }, input) => {
      authorize(services, context.caller, { path, input });
      return next();
    });

  /**
   * Long work as an event iterator, its errors mapped as those of any other procedure. It has begun
   * when this returns: what fails before the first report is an ordinary error.
   */
  async function stream<T>(signal: AbortSignal | undefined, work: (options: Work) => Promise<T>) {
    // It is read when the call itself has returned already.
    const inThisCall = AsyncLocalStorage.snapshot();
    const reports = withProgress(signal, (options) => inThisCall(work, options));
    const first = await reports.next();
    return (async function* () {
      try {
        const result = yield* startingWith(first, reports);
        inThisCall(() => outcomes.record("ok"));
        return result;
      } catch (error) {
        throw inThisCall(() => outcomes.failed(error));
      }
    })();
  }

  /** What comes until the client leaves, which is no failure. The first is there when this returns. */
  async function events<T>(signal: AbortSignal | undefined, source: AsyncGenerator<T, undefined>) {
    const first = await source.next();
    return eventsLater(signal, startingWith(first, source));
  }

  /** As `events`, of a source whose first event may take long: it is not waited for. */
  function eventsLater<T>(signal: AbortSignal | undefined, source: AsyncGenerator<T, void>) {
    const inThisCall = AsyncLocalStorage.snapshot();
    return (async function* () {
      try {
        yield* source;
      } catch (error) {
        if (!signal?.aborted) throw inThisCall(() => outcomes.failed(error));
      }
    })();
  }

  return { os, stream, events, eventsLater, services };
}

/** How calls end: counted, logged, and compared with the errors that the contract declares. */
class Outcomes {
  readonly #counts: CallCounts;

  constructor(counts: CallCounts) {
    this.#counts = counts;
  }

  /** Counts the call and logs it with its id; reads are logged for debugging only. */
  record(outcome: string, message?: string): void {
    const call = currentCall();
    if (!call) return;
    const { procedure } = call;
    this.#counts.add(procedure, outcome);
    const elapsed_ms = Math.round(performance.now() - call.began_ms);
    const told = { procedure, elapsed_ms, outcome, message };
    const text =
      message === undefined
        ? "{procedure} took {elapsed_ms} ms"
        : "{procedure} failed after {elapsed_ms} ms, {outcome}: {message}";
    if (call.isRead) log.debug(text, told);
    else log.info(text, told);
  }

  /** The error as the client gets it. */
  failed(error: unknown): ReturnType<typeof toOrpcError> {
    const mapped = toOrpcError(error);
    const { code, message } = mapped;
    const call = currentCall();
    if (call && !declares(call.errorMap, code)) {
      const { procedure } = call;
      log.error(`${UNDECLARED} "{code}" of {procedure}: {message}`, { code, procedure, message });
    }
    this.record(code, message);
    return mapped;
  }
}

/** The rest of a generator whose first result has been taken already. */
async function* startingWith<T, R>(
  first: IteratorResult<T, R>,
  rest: AsyncGenerator<T, R>,
): AsyncGenerator<T, R> {
  if (first.done) return first.value;
  await using remaining = rest;
  yield first.value;
  return yield* remaining;
}

function isStream(output: unknown): boolean {
  return typeof output === "object" && output !== null && Symbol.asyncIterator in output;
}
