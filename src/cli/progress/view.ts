/**
 * Shows the reports of long work on standard error: on a terminal a line per step under
 * way, redrawn in place; in a pipe a line when a step begins and one when it is over; with
 * --json each report as a document; with --quiet nothing.
 */
import type { Progress } from "#base/progress.ts";
import { tell } from "#base/stdio.ts";
import type { Style } from "#cli/print/color.ts";
import { safeLine } from "#cli/print/text.ts";
import { finishedLine, titleOf } from "./line.ts";
import { makeLiveView } from "./live.ts";
import { Steps } from "./steps.ts";

/** A pipe gets no more reports of one step than one in this time. */
const JSON_INTERVAL_MS = 250;

export interface ProgressView extends Disposable {
  /** `lane` tells works apart that go on side by side; it is shown before what they report. */
  report(progress: Progress, lane?: string): void;
  /** The work of the lane succeeded: what is still under way counts as finished. */
  finish(lane?: string): void;
  /** Leaves the terminal as it was; without `finish` before, what was under way disappears. */
  [Symbol.dispose](): void;
}

interface ViewOptions {
  json: boolean;
  quiet: boolean;
  style(style: Style, text: string): string;
}

export function makeProgress(stream: NodeJS.WriteStream, options: ViewOptions): ProgressView {
  if (options.json) return options.quiet ? silent : jsonView();
  if (options.quiet) return silent;
  return stream.isTTY ? makeLiveView(stream, options) : plainView();
}

const silent: ProgressView = { report() {}, finish() {}, [Symbol.dispose]() {} };

function jsonView(): ProgressView {
  const steps = new Steps();
  const shown = new Map<string, number>();
  const report = (progress: Progress, lane = ""): void => {
    const now_ms = performance.now();
    const { begun, finished } = steps.report(progress, now_ms, lane);
    const key = `${lane}\0${progress.step}`;
    const isDue = now_ms - (shown.get(key) ?? 0) >= JSON_INTERVAL_MS;
    if (begun.length + finished.length === 0 && !isDue && !progress.lines) return;
    shown.set(key, now_ms);
    tell(`${JSON.stringify(lane ? { name: lane, progress } : { progress })}\n`);
  };
  return { report, finish() {}, [Symbol.dispose]() {} };
}

function plainView(): ProgressView {
  const steps = new Steps();
  const line = (text: string): void => tell(`${text}\n`);
  return {
    report(progress, lane) {
      const { begun, finished } = steps.report(progress, performance.now(), lane);
      for (const step of begun) line(`${titleOf(step)} ...`);
      for (const text of progress.lines ?? []) line(`  ${safeLine(text)}`);
      for (const step of finished) line(`done: ${finishedLine(step)}`);
    },
    finish(lane) {
      for (const step of steps.finishAll(performance.now(), lane))
        line(`done: ${finishedLine(step)}`);
    },
    [Symbol.dispose]() {},
  };
}
