/** Prints errors. */
import { BangerError, type ErrorCode, errnoOf, errorCodes, toBangerError } from "#base/error.ts";
import { safeLine, safeText, terminalJson } from "#base/printable.ts";
import { tell } from "#base/stdio.ts";
import { exitStatusOf } from "#cli/interrupt.ts";
import type { Style } from "./color.ts";

export interface ReportOptions {
  json: boolean;
  style: (style: Style, text: string) => string;
  /** Default: the status of the error's kind. */
  statusOf?: ((code: ErrorCode) => number) | undefined;
}

const ERROR_STATUS = 125;
const TIMEOUT_STATUS = 124;

/**
 * Of a program that gives the status of a command in a machine: as docker, and timeout(1), have them, so
 * that none is taken for the command's own.
 */
export function commandStatus(code: ErrorCode, options: { hasTimeout: boolean }): number {
  if (/^(command_|cancelled)/.test(code)) return errorCodes[code].exit;
  return code === "timeout" && options.hasTimeout ? TIMEOUT_STATUS : ERROR_STATUS;
}

/** Several failures of one command, each already a BangerError. */
export class Failures extends Error {
  readonly errors: readonly BangerError[];

  constructor(errors: readonly BangerError[]) {
    super(`${errors.length} failed`);
    this.errors = errors;
  }
}

/** Prints to standard error, and gives the exit status that belongs to the error's kind. */
export function reportError(thrown: unknown, options: ReportOptions): number {
  if (errnoOf(thrown) === "EPIPE") return exitStatusOf("SIGPIPE");
  const errors = thrown instanceof Failures ? thrown.errors : [toBangerError(thrown)];
  for (const error of errors) tell(`${render(error, thrown, options)}\n`);
  const statusOf = options.statusOf ?? ((code: ErrorCode) => errorCodes[code].exit);
  const codes = new Set(errors.map(({ code }) => code));
  const [first] = codes;
  return statusOf(codes.size === 1 && first ? first : "internal");
}

function render(error: BangerError, thrown: unknown, { json, style }: ReportOptions): string {
  const { code, message, hint } = error;
  if (json) return terminalJson({ error: hint ? { code, message, hint } : { code, message } });
  if (code === "cancelled") return safeLine(message);
  let text = `${style("red", "error:")} ${safeText(message)}`;
  if (hint) text += `\n${style("bold", "hint:")} ${safeText(hint)}`;
  // What is no BangerError is a mistake of ours, and the trace is what a report of it needs.
  const isOurs = code === "internal" && !(thrown instanceof BangerError);
  if (isOurs && thrown instanceof Error && thrown.stack) text += `\n${style("dim", thrown.stack)}`;
  return text;
}
