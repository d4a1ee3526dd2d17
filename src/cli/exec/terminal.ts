/** Puts the caller's terminal into raw mode for a command in a machine, and restores it. */
import type { TerminalSize } from "#api/exec.ts";

const COLUMNS_DEFAULT = 80;
const ROWS_DEFAULT = 24;

export function terminalSize(): TerminalSize {
  const { columns, rows } = process.stdout.isTTY ? process.stdout : process.stderr;
  return { columns: columns || COLUMNS_DEFAULT, rows: rows || ROWS_DEFAULT };
}

/** Keys go through as they are typed, until disposed of or the program ends in whatever way. */
export function makeRaw(): Disposable {
  const { stdin } = process;
  if (!stdin.isTTY) return { [Symbol.dispose]() {} };
  const restore = (): void => void stdin.setRawMode(false);
  stdin.setRawMode(true);
  process.on("exit", restore);
  return {
    [Symbol.dispose]() {
      process.off("exit", restore);
      restore();
    },
  };
}

export function onResize(tell: (size: TerminalSize) => void): Disposable {
  const listener = (): void => tell(terminalSize());
  process.on("SIGWINCH", listener);
  return {
    [Symbol.dispose]() {
      process.off("SIGWINCH", listener);
    },
  };
}
