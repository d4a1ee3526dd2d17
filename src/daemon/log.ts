/** The daemon's log: one JSON object a line on stderr, which the starter sends to a file. */
import { AsyncLocalStorage } from "node:async_hooks";
import { configure, defaultTextFormatter, jsonLinesFormatter } from "@logtape/logtape";
import { newId } from "#base/id.ts";
import { tell } from "#base/stdio.ts";
import type { ConfigValues } from "#config/schema.ts";

/** Gives every line that is logged within a call the call's id. */
const callContext = new AsyncLocalStorage<Record<string, unknown>>();

/** One request of a client, from its arrival to the end of its answer. */
export interface Call {
  procedure: string;
  /** It changes nothing. */
  isRead: boolean;
  began_ms: number;
}

const currentCalls = new AsyncLocalStorage<Call>();

/** Runs `work` as a call of its own. */
export function inCall<T>(call: Pick<Call, "procedure" | "isRead">, work: () => T): T {
  const { procedure } = call;
  return callContext.run({ call: newId(), procedure }, () =>
    currentCalls.run({ ...call, began_ms: performance.now() }, work),
  );
}

/** Undefined outside of every call. */
export function currentCall(): Call | undefined {
  return currentCalls.getStore();
}

/** JSON lines, or text where somebody looks on. */
export async function startLog(level: ConfigValues["log.level"]): Promise<void> {
  const format = process.stderr.isTTY ? defaultTextFormatter : jsonLinesFormatter;
  await configure({
    contextLocalStorage: callContext,
    sinks: { stderr: (record) => tell(format(record)) },
    loggers: [
      {
        category: "banger",
        lowestLevel: level as "debug" | "info" | "warning" | "error",
        sinks: ["stderr"],
      },
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: ["stderr"] },
    ],
  });
}
