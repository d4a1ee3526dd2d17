/** Progress on a terminal: finished steps stay above, active ones are redrawn in place. */
import { terminalText } from "#base/printable.ts";
import { asIs, tell, writeLast } from "#base/stdio.ts";
import { activeLine, finishedLine, warningLine } from "./line.ts";
import type { ProgressView, ViewOptions } from "./options.ts";
import { type Step, Steps } from "./steps.ts";

const REDRAW_MS = 100;
const LINES_MAX = 8;
const COLUMNS_DEFAULT = 80;

const HIDE_CURSOR = "\x1b[?25l";
const SHOW_CURSOR = "\x1b[?25h";
const CLEAR_BELOW = "\r\x1b[J";

export function makeLiveView(stream: NodeJS.WriteStream, options: ViewOptions): ProgressView {
  const { style } = options;
  const steps = new Steps();
  let drawn = 0;
  let isHidden = false;
  let isClosed = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const showCursor = (): void => {
    if (isHidden) tell(asIs(SHOW_CURSOR));
    isHidden = false;
  };
  const showLast = (): void => {
    if (isHidden) writeLast("stderr", SHOW_CURSOR);
  };
  process.on("exit", showLast);

  const columns = (): number => (stream.columns || COLUMNS_DEFAULT) - 1;
  /** Replaces the lines that were drawn by `above`, which stays, and the steps under way. */
  function draw(above: readonly string[]): void {
    clearTimeout(timer);
    timer = undefined;
    const active = steps.active;
    const limit = Math.max(1, Math.min(LINES_MAX, (stream.rows || LINES_MAX) - 2));
    const now_ms = performance.now();
    const live = active.slice(0, limit).map((step) => activeLine(step, now_ms, columns()));
    if (active.length > limit) live.push(style("dim", `and ${active.length - limit} more`));
    const up = drawn > 0 ? `\x1b[${drawn}A` : "";
    const lines = [...above, ...live].map((line) => `${line}\n`).join("");
    const hide = live.length > 0 && !isHidden ? HIDE_CURSOR : "";
    if (hide) isHidden = true;
    tell(asIs(`${hide}${up}${CLEAR_BELOW}${terminalText(lines)}`));
    drawn = live.length;
    // The time that a step takes is shown, so the lines move although nothing is reported.
    if (live.length > 0) plan();
  }
  function plan(): void {
    timer ??= setTimeout(() => draw([]), REDRAW_MS);
    timer.unref();
  }
  const done = (step: Step): string =>
    `${style("green", "✓")} ${finishedLine(step, columns() - 2)}`;
  const failed = (step: Step): string =>
    `${style("red", "✗")} ${finishedLine(step, columns() - 2)}`;

  return {
    report(progress, lane) {
      if (isClosed) return;
      const { begun, finished, warning } = steps.report(progress, performance.now(), lane);
      const above = finished.map(done);
      if (warning !== undefined) above.push(warningLine(warning, options));
      if (begun.length + above.length > 0) draw(above);
      else plan();
    },
    finish(lane) {
      if (!isClosed) draw(steps.finishAll(performance.now(), lane).map(done));
    },
    [Symbol.dispose]() {
      if (isClosed) return;
      isClosed = true;
      const ended = steps.endAll(performance.now());
      const above = options.isCancelled() ? [] : ended.map(failed);
      if (drawn + above.length > 0) draw(above);
      clearTimeout(timer);
      showCursor();
      process.off("exit", showLast);
    },
  };
}
