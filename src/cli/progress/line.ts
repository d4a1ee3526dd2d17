/** One line for a step: message, amount, rate, time left. */
import { formatDuration } from "#base/duration.ts";
import { safeLine } from "#base/printable.ts";
import { formatSize } from "#base/size.ts";
import type { Style } from "#cli/print/color.ts";
import { fit } from "#cli/print/text.ts";
import type { Step } from "./steps.ts";

const GAP = "  ";
/** Below this, what the step is would not be told any more. */
const MESSAGE_MIN_COLUMNS = 12;

/** "Downloading 4f3a…  12 MiB / 63 MiB  19%  11 MiB/s  5s left", at most `columns` wide. */
export function activeLine(step: Step, now_ms: number, columns: number): string {
  const numbers = [amount(step), percent(step), rate(step), remaining(step)];
  const shown = numbers.filter((each) => each !== undefined);
  if (shown.length === 0) shown.push(formatDuration(Math.max(0, now_ms - step.started_ms)));
  return layout(named(step.message, step), shown.join(GAP), columns);
}

/** "Downloading 4f3a…  63 MiB  5.1s". */
export function finishedLine(step: Step, columns = Number.POSITIVE_INFINITY): string {
  const size = step.unit === "bytes" && step.total ? formatSize(step.total) : undefined;
  const elapsed_ms = (step.finished_ms ?? step.started_ms) - step.started_ms;
  const numbers = [size, formatDuration(elapsed_ms)].filter((each) => each !== undefined);
  return layout(named(step.title, step), numbers.join(GAP), columns);
}

export function warningLine(
  text: string,
  { style }: { style: (style: Style, text: string) => string },
): string {
  return `${style("yellow", "warning:")} ${safeLine(text)}`;
}

/** Safe to print. */
function named(text: string, { lane }: Step): string {
  return safeLine(lane ? `${lane}: ${text}` : text);
}

function layout(text: string, numbers: string, columns: number): string {
  const room = columns - Bun.stringWidth(numbers) - GAP.length;
  if (room < MESSAGE_MIN_COLUMNS) return fit(text, columns);
  return `${fit(text, room)}${GAP}${numbers}`;
}

function amount({ done, total, unit }: Step): string | undefined {
  if (done === undefined) return undefined;
  const show = (value: number) => (unit === "bytes" ? formatSize(value) : String(value));
  return total === undefined ? show(done) : `${show(done)} / ${show(total)}`;
}

function percent({ done, total }: Step): string | undefined {
  if (done === undefined || !total) return undefined;
  return `${Math.min(100, Math.floor((done / total) * 100))}%`;
}

function rate({ rate, unit }: Step): string | undefined {
  if (rate === undefined) return undefined;
  return unit === "bytes" ? `${formatSize(Math.round(rate))}/s` : `${rate.toFixed(1)}/s`;
}

function remaining({ done, total, rate }: Step): string | undefined {
  if (done === undefined || !total || !rate || done >= total) return undefined;
  return `${formatDuration(Math.max(1000, ((total - done) / rate) * 1000))} left`;
}
