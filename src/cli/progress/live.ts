/** Progress on a terminal: finished steps stay above, those under way are redrawn in place. */
import { tell, writeLast } from "#base/stdio.ts";
import type { Style } from "#cli/print/color.ts";
import { activeLine, finishedLine } from "./line.ts";
import { Steps } from "./steps.ts";
import type { ProgressView } from "./view.ts";

const REDRAW_MS = 100;
const LINES_MAX = 8;
const COLUMNS_DEFAULT = 80;

const HIDE_CURSOR = "\x1b[?25l";
const SHOW_CURSOR = "\x1b[?25h";
const CLEAR_BELOW = "\r\x1b[J";

interface LiveOptions {
  style(style: Style, text: string): string;
}

export function makeLiveView(stream: NodeJS.WriteStream, { style }: LiveOptions): ProgressView {
  const steps = new Steps();
  let drawn = 0;
  let isHidden = false;
  let isClosed = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const showCursor = (): void => {
    if (isHidden) tell(SHOW_CURSOR);
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
    tell(`${hide}${up}${CLEAR_BELOW}${lines}`);
    drawn = live.length;
    // The time that a step takes is shown, so the lines move although nothing is reported.
    if (live.length > 0) plan();
  }
  function plan(): void {
    timer ??= setTimeout(() => draw([]), REDRAW_MS);
    timer.unref();
  }
  const done = (step: Parameters<typeof finishedLine>[0]): string =>
    `${style("green", "✓")} ${finishedLine(step, columns() - 2)}`;

  return {
    report(progress, lane) {
      if (isClosed) return;
      const { begun, finished } = steps.report(progress, performance.now(), lane);
      if (begun.length + finished.length > 0) draw(finished.map(done));
      else plan();
    },
    finish(lane) {
      if (!isClosed) draw(steps.finishAll(performance.now(), lane).map(done));
    },
    [Symbol.dispose]() {
      if (isClosed) return;
      isClosed = true;
      clearTimeout(timer);
      if (drawn > 0) tell(`\x1b[${drawn}A${CLEAR_BELOW}`);
      showCursor();
      process.off("exit", showLast);
    },
  };
}
