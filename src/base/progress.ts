/**
 * One line of what long work is doing. The same `step` is reported again and again
 * while its numbers grow; a new step means that the one before is over. On the wire it is
 * the schema of src/api/progress.ts.
 */
export interface Progress {
  /** Stable name of the step, such as "layer 4f3a…" or "boot". */
  step: string;
  /** What happens, for people: "Downloading 4f3a…". */
  message: string;
  /** How much is done, in `unit`. */
  done?: number;
  /** How much there is, in `unit`, where that is known. */
  total?: number;
  unit?: "bytes" | "items";
  /** What a command of the step has printed since the last report. */
  lines?: string[];
}

/** Called often: it must be cheap, and it must not throw. */
export type OnProgress = (progress: Progress) => void;

const WARNING = "warning: ";

/** Something to be told while work goes on: it is no step, and ends none. */
export function warningProgress(text: string): Progress {
  return { step: `${WARNING}${text}`, message: `${WARNING}${text}` };
}

/** Undefined for a step. */
export function warningOf({ message }: Pick<Progress, "message">): string | undefined {
  return message.startsWith(WARNING) ? message.slice(WARNING.length) : undefined;
}

/** What long work is given. */
export interface WorkOptions {
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}
