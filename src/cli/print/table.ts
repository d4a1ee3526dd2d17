/** Columns as docker and kubectl print them, and pairs of a name and a value. */
import { safeLine } from "./text.ts";

const GAP = "   ";

/** With a line for the headings; `rows` hold one text for each of them. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [headings, ...rows].map((row) => row.map(safeLine));
  const widths = headings.map((_, column) =>
    lines.reduce((width, line) => Math.max(width, Bun.stringWidth(line[column] ?? "")), 0),
  );
  return lines
    .map((line) =>
      line
        .map((cell, column) => pad(cell, widths[column] ?? 0))
        .join(GAP)
        .trimEnd(),
    )
    .join("\n");
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
