/**
 * Results go to standard output, prose and progress to standard error. With --json a result
 * is what the API says, indented; a stream is one document a line.
 */
import { styleText } from "node:util";
import { writeTo } from "./stdio.ts";

export interface OutputOptions {
  json: boolean;
  quiet: boolean;
  color: boolean;
}

export interface Output extends OutputOptions {
  /** A command's whole result: `value` with --json, otherwise what `text` gives, if it gives something. */
  document(value: unknown, text: () => string): Promise<void>;
  /** One of several results. */
  item(value: unknown, text: string): Promise<void>;
  /** Prose for people: neither with --json nor with --quiet. */
  note(text: string): void;
  /** `text` in a style where colors are wanted. */
  style(format: Parameters<typeof styleText>[0], text: string): string;
}

export function makeOutput(options: OutputOptions): Output {
  const print = async (text: string): Promise<void> => {
    if (text !== "") await writeTo(process.stdout, `${text}\n`);
  };
  return {
    ...options,
    document: (value, text) => print(options.json ? JSON.stringify(value, null, 2) : text()),
    item: (value, text) => print(options.json ? JSON.stringify(value) : text),
    note(text) {
      if (!options.json && !options.quiet) process.stderr.write(`${text}\n`);
    },
    style: (format, text) =>
      options.color ? styleText(format, text, { validateStream: false }) : text,
  };
}
