/** The daemon's log: one JSON object a line on stderr, which the starter sends to a file. */
import { AsyncLocalStorage } from "node:async_hooks";
import { configure, jsonLinesFormatter } from "@logtape/logtape";
import { newId } from "#base/id.ts";
import type { ConfigValues } from "#config/schema.ts";

/** Gives every line that is logged within a call the call's id. */
const callContext = new AsyncLocalStorage<Record<string, unknown>>();

/** Runs `work` as a call of its own. */
export function inCall<T>(procedure: string, work: () => T): T {
  return callContext.run({ call: newId(), procedure }, work);
}

/** The procedure that is being called. */
export function currentCall(): string {
  return String(callContext.getStore()?.["procedure"] ?? "none");
}

export async function startLog(level: ConfigValues["log.level"]): Promise<void> {
  await configure({
    contextLocalStorage: callContext,
    sinks: { stderr: (record) => void process.stderr.write(jsonLinesFormatter(record)) },
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
