/** The daemon's log: one JSON object a line on stderr, which the starter sends to a file. */
import { configure, jsonLinesFormatter } from "@logtape/logtape";
import type { ConfigValues } from "#config/schema.ts";

export async function startLog(level: ConfigValues["log.level"]): Promise<void> {
  await configure({
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
