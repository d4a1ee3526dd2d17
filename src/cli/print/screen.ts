/** A screen that is redrawn in place, or printed repeatedly without a terminal. */
import { terminalText } from "#base/printable.ts";
import { asIs, writeLast, writeOut } from "#base/stdio.ts";

const HIDE_AND_HOME = "\u001b[?25l\u001b[H";
const CLEAR_LINE = "\u001b[K";
const CLEAR_BELOW = "\u001b[J";
const CLEAR_ALL = "\u001b[2J";
const SHOW = "\u001b[?25h";

export interface Screen extends Disposable {
  draw(text: string): Promise<void>;
}

export function openScreen(): Screen {
  const { stdout } = process;
  if (!stdout.isTTY) {
    return { draw: (text) => writeOut(`${text}\n`), [Symbol.dispose]() {} };
  }
  let isFirst = true;
  const restore = (): void => writeLast("stdout", SHOW);
  process.on("exit", restore);
  return {
    async draw(text) {
      const rows = Math.max(1, (stdout.rows || 24) - 1);
      const columns = stdout.columns || 80;
      const lines = text.split("\n").slice(0, rows);
      const cut = lines
        .map((line) => terminalText(line).slice(0, columns) + CLEAR_LINE)
        .join("\r\n");
      const first = isFirst ? CLEAR_ALL : "";
      await writeOut(asIs(`${first}${HIDE_AND_HOME}${cut}\r\n${CLEAR_BELOW}`));
      isFirst = false;
    },
    [Symbol.dispose]() {
      process.off("exit", restore);
      restore();
    },
  };
}
