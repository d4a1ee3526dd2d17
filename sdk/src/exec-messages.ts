/** The daemon's text messages on an exec WebSocket, read without a validator. */
import type { ExecExit } from "#api/exec.ts";
import type { DaemonVersion } from "#api/exec-constants.ts";
import { BangerError, isErrorCode } from "#base/error.ts";
import type { Progress } from "#base/progress.ts";

export type ServerMessage =
  | { progress: Progress }
  | { started: Started }
  | { held: { vm: string } }
  | { grant: number }
  | { exit: ExecExit }
  | { error: BangerError };

export interface Started {
  vm: string;
  daemon?: DaemonVersion;
  /** The command's pid in the machine; older daemons do not send it. */
  pid?: number;
}

type Fields = Record<string, unknown>;

/** Throws `internal` on a message that the specification does not have. */
export function readServerMessage(text: string): ServerMessage {
  const message = fieldsOf(parseJson(text));
  const grant = message["grant"];
  if (typeof grant === "number" && Number.isSafeInteger(grant) && grant > 0) return { grant };
  if (message["started"]) return { started: readStarted(fieldsOf(message["started"])) };
  if (message["held"]) return { held: { vm: textOf(fieldsOf(message["held"])["vm"]) } };
  if (message["exit"]) return { exit: readExit(fieldsOf(message["exit"])) };
  if (message["error"]) return { error: readError(fieldsOf(message["error"])) };
  if (message["progress"]) return { progress: readProgress(fieldsOf(message["progress"])) };
  throw unreadable();
}

function readStarted({ vm, daemon, pid }: Fields): Started {
  const started = { vm: textOf(vm), ...(typeof pid === "number" ? { pid } : {}) };
  if (daemon === undefined) return started;
  const { version, commit } = fieldsOf(daemon);
  return { ...started, daemon: { version: textOf(version), commit: textOf(commit) } };
}

function readExit({ code, signal }: Fields): ExecExit {
  if (typeof code === "number" && Number.isInteger(code)) return { code };
  if (typeof signal === "string") return { signal };
  throw unreadable();
}

function readError({ code, message, hint }: Fields): BangerError {
  return new BangerError(isErrorCode(code) ? code : "internal", textOf(message), {
    hint: typeof hint === "string" ? hint : undefined,
  });
}

function readProgress({ step, message, done, total, unit, lines }: Fields): Progress {
  return {
    step: textOf(step),
    message: textOf(message),
    done: typeof done === "number" ? done : undefined,
    total: typeof total === "number" ? total : undefined,
    unit: unit === "bytes" || unit === "items" ? unit : undefined,
    lines: Array.isArray(lines) ? lines.filter((line) => typeof line === "string") : undefined,
  };
}

function fieldsOf(value: unknown): Fields {
  if (typeof value !== "object" || value === null) throw unreadable();
  return value as Fields;
}

function textOf(value: unknown): string {
  if (typeof value !== "string") throw unreadable();
  return value;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw unreadable();
  }
}

function unreadable(): BangerError {
  return new BangerError("internal", "Cannot read the daemon's response: unknown message type", {
    hint: "The daemon may be a different version; restart it with: banger daemon restart",
  });
}
