/**
 * Results go to stdout, messages and progress to stderr. With --json a result is the API's document, indented; a
 * stream is one document per line.
 */
import { safeText, terminalJson } from "#base/printable.ts";
import { tell, writeOut } from "#base/stdio.ts";
import type { ProgressMode } from "#cli/progress/options.ts";
import { forbidsColor } from "#config/environment.ts";
import { paint, type Style } from "./color.ts";

export interface OutputOptions {
  json: boolean;
  quiet: boolean;
  noColor: boolean;
  progress: ProgressMode;
}

export interface Output {
  readonly json: boolean;
  readonly quiet: boolean;
  /** How long work is shown. */
  readonly mode: ProgressMode;
  /** A command's whole result: `value` with --json, otherwise what `text` gives, if it gives something. */
  document(value: unknown, text: () => string): Promise<void>;
  /** One of several results. */
  item(value: unknown, text: string): Promise<void>;
  /** Prose for people: neither with --json nor with --quiet. */
  note(text: string): void;
  /** What may go wrong, for people: as a note. */
  warn(text: string): void;
  /** `text` in a style, where the stream that it is for shows colors. */
  style(style: Style, text: string, stream?: "stdout" | "stderr"): string;
  hasColor(stream?: "stdout" | "stderr"): boolean;
}

export function makeOutput(options: OutputOptions): Output {
  const print = async (text: string): Promise<void> => {
    if (text !== "") await writeOut(`${text}\n`);
  };
  // Asked when it is needed, since to know what a stream is takes longer than to write to it.
  const hasColor = (stream: "stdout" | "stderr" = "stderr"): boolean =>
    !options.noColor && !forbidsColor() && process[stream].isTTY === true;
  const { json, quiet } = options;
  const style: Output["style"] = (style, text, stream) =>
    hasColor(stream) ? paint(style, text) : text;
  const note = (text: string): void => {
    if (!json && !quiet) tell(`${text}\n`);
  };
  return {
    json,
    quiet,
    mode: options.progress,
    document: (value, text) => print(options.json ? terminalJson(value, 2) : text()),
    item: (value, text) => print(options.json ? terminalJson(value) : text),
    note,
    warn: (text) => note(`${style("yellow", "warning:")} ${safeText(text)}`),
    style,
    hasColor,
  };
}
