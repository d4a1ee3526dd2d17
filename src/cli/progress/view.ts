/**
 * Shows the reports of long work on standard error: on a terminal a line per step under way, redrawn in
 * place; elsewhere warnings only, or with --progress=plain a line per finished step, with what it printed;
 * with --json each report as a document; with --quiet nothing.
 */
import { safeLine, terminalJson } from "#base/printable.ts";
import { type Progress, warningOf } from "#base/progress.ts";
import { tell } from "#base/stdio.ts";
import { variable } from "#config/environment.ts";
import { finishedLine, warningLine } from "./line.ts";
import { makeLiveView } from "./live.ts";
import type { ProgressView, ViewOptions } from "./options.ts";
import { Steps } from "./steps.ts";

/** A pipe gets no more reports of one step than one in this time. */
const JSON_INTERVAL_MS = 250;

export function makeProgress(stream: NodeJS.WriteStream, options: ViewOptions): ProgressView {
  if (options.json) return options.quiet ? silent : jsonView();
  if (options.quiet) return silent;
  if (options.mode === "plain") return plainView(options);
  if (options.mode === "quiet" || !stream.isTTY) return warningsOnly(options);
  // One that cannot move its cursor.
  return variable("TERM") === "dumb" ? plainView(options) : makeLiveView(stream, options);
}

function warningsOnly(options: ViewOptions): ProgressView {
  const report = (progress: Progress): void => {
    const warning = warningOf(progress);
    if (warning !== undefined) tell(`${warningLine(warning, options)}\n`);
  };
  return { ...silent, report };
}

const silent: ProgressView = { report() {}, finish() {}, [Symbol.dispose]() {} };

function jsonView(): ProgressView {
  const steps = new Steps();
  const shown = new Map<string, number>();
  const report = (progress: Progress, lane = ""): void => {
    const now_ms = performance.now();
    const { begun, finished, warning } = steps.report(progress, now_ms, lane);
    const key = `${lane}\0${progress.step}`;
    const isDue = now_ms - (shown.get(key) ?? 0) >= JSON_INTERVAL_MS;
    if (begun.length + finished.length === 0 && !isDue && !progress.lines && warning === undefined)
      return;
    shown.set(key, now_ms);
    tell(`${terminalJson(lane ? { name: lane, progress } : { progress })}\n`);
  };
  return { report, finish() {}, [Symbol.dispose]() {} };
}

function plainView(options: ViewOptions): ProgressView {
  const steps = new Steps();
  const line = (text: string): void => tell(`${text}\n`);
  return {
    report(progress, lane) {
      const { finished, warning } = steps.report(progress, performance.now(), lane);
      for (const step of finished) line(finishedLine(step));
      for (const text of progress.lines ?? []) line(`  ${safeLine(text)}`);
      if (warning !== undefined) line(warningLine(warning, options));
    },
    finish(lane) {
      for (const step of steps.finishAll(performance.now(), lane)) line(finishedLine(step));
    },
    [Symbol.dispose]() {
      if (options.isCancelled()) return;
      for (const step of steps.endAll(performance.now())) line(`✗ ${finishedLine(step)}`);
    },
  };
}
