/** The daemon's log: one JSON object a line on stderr, which the starter sends to a file. */
import { AsyncLocalStorage } from "node:async_hooks";
import { chmodSync, copyFileSync, fstatSync, rmSync, statSync, truncateSync } from "node:fs";
import { configure, defaultTextFormatter, jsonLinesFormatter } from "@logtape/logtape";
import { newId } from "#base/id.ts";
import { MiB } from "#base/size.ts";
import { tell } from "#base/stdio.ts";
import type { ConfigValues } from "#config/schema.ts";

const STDERR = 2;

/** Gives every line that is logged within a call the call's id. */
const callContext = new AsyncLocalStorage<Record<string, unknown>>();

/** How the log begins a report of an error that the contract does not have for its procedure. */
export const UNDECLARED = "undeclared error";

/** One request of a client, from its arrival to the end of its answer. */
export interface Call {
  procedure: string;
  /** It changes nothing. */
  isRead: boolean;
  /** Its keys are the codes of the errors that the contract declares for it. */
  errorMap: object;
  began_ms: number;
  /** Name of the token that it came with. */
  token?: string | undefined;
}

const currentCalls = new AsyncLocalStorage<Call>();

/** Runs `work` as a call of its own. */
export function inCall<T>(call: Omit<Call, "began_ms">, work: () => T): T {
  const { procedure, token } = call;
  const by = token === undefined ? {} : { token };
  return callContext.run({ call: newId(), procedure, ...by }, () =>
    currentCalls.run({ ...call, began_ms: performance.now() }, work),
  );
}

/** Undefined outside of every call. */
export function currentCall(): Call | undefined {
  return currentCalls.getStore();
}

/** A log file of this size becomes the old one, of which there is one. */
export const LOG_MAX_BYTES = 16 * MiB;
const OLD = ".1";
/** How much is written before the size is looked at again. */
const LOOK_BYTES = MiB;

/**
 * Copies a long log aside and empties it; `fd` has it open for appending. Anything else that `fd` is, such as a
 * terminal or the journal, is left alone.
 */
export function rotateLog(path: string, { fd, max_bytes = LOG_MAX_BYTES }: RotateOptions): void {
  try {
    const open = fstatSync(fd);
    const named = statSync(path);
    const isSame = open.isFile() && open.ino === named.ino && open.dev === named.dev;
    if (!isSame || open.size <= max_bytes) return;
    const old = path + OLD;
    rmSync(old, { force: true });
    copyFileSync(path, old);
    chmodSync(old, 0o600);
    truncateSync(path, 0);
  } catch {
    // A log that cannot be rotated is still a log.
  }
}

interface RotateOptions {
  fd: number;
  max_bytes?: number;
}

/** JSON lines, or text where somebody looks on. `path`: the file that standard error may be. */
export async function startLog(level: ConfigValues["log.level"], path?: string): Promise<void> {
  let unseen_bytes = LOOK_BYTES;
  const write = (text: string): void => {
    tell(text);
    unseen_bytes += text.length;
    if (path === undefined || unseen_bytes < LOOK_BYTES) return;
    unseen_bytes = 0;
    rotateLog(path, { fd: STDERR });
  };
  const format = process.stderr.isTTY ? defaultTextFormatter : jsonLinesFormatter;
  await configure({
    contextLocalStorage: callContext,
    sinks: { stderr: (record) => write(format(record)) },
    loggers: [
      {
        category: "banger",
        lowestLevel: level,
        sinks: ["stderr"],
      },
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: ["stderr"] },
    ],
  });
}
