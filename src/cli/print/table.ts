/** Tables as docker and kubectl print them, and lists of name and value. */
import { safeLine } from "#base/printable.ts";
import { fit } from "./text.ts";

const GAP = "   ";

/** A column is not made narrower than this. */
const COLUMN_MIN = 8;

/** With a line for the headings; `rows` hold one text for each of them. The widest cells are cut to fit into `columns`. */
export function table(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  columns = Number.POSITIVE_INFINITY,
): string {
  const lines = [headings, ...rows].map((row) => row.map(safeLine));
  const widths = headings.map((_, column) =>
    lines.reduce((width, line) => Math.max(width, Bun.stringWidth(line[column] ?? "")), 0),
  );
  narrow(widths, columns - GAP.length * (widths.length - 1));
  return lines
    .map((line) =>
      line
        .map((cell, column) => pad(fit(cell, widths[column] ?? 0), widths[column] ?? 0))
        .join(GAP)
        .trimEnd(),
    )
    .join("\n");
}

/** Takes from the widest, never from the first, which is the name. */
function narrow(widths: number[], room: number): void {
  for (let over = widths.reduce((sum, width) => sum + width, 0) - room; over > 0; over--) {
    const widest = Math.max(...widths.slice(1));
    if (!(widest > COLUMN_MIN)) return;
    widths[widths.indexOf(widest, 1)] = widest - 1;
  }
}

/** "Name:  value" lines; those without a value are left out. */
export function pairs(entries: readonly (readonly [string, string | undefined])[]): string {
  const shown = entries.flatMap(([name, value]) => (value ? [[`${name}:`, safeLine(value)]] : []));
  const width = Math.max(...shown.map(([name]) => Bun.stringWidth(name ?? "")), 0);
  return shown.map(([name, value]) => `${pad(name ?? "", width)}  ${value}`).join("\n");
}

function pad(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - Bun.stringWidth(text)));
}
