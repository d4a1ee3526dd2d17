/** A program on a terminal of its own. */
export interface TerminalOptions {
  columns: number;
  rows: number;
  env?: Record<string, string | undefined>;
}

export function onTerminal(argv: string[], { columns, rows, env }: TerminalOptions) {
  const screen = { text: "" };
  const decoder = new TextDecoder();
  const closed = Promise.withResolvers<void>();
  const child = Bun.spawn(argv, {
    ...(env ? { env } : {}),
    terminal: {
      cols: columns,
      rows,
      data(_, bytes) {
        screen.text += decoder.decode(bytes, { stream: true });
      },
      exit: () => closed.resolve(),
    },
  });
  // What it wrote last may be read after it has ended.
  const ended = Promise.all([child.exited, closed.promise]).then(([status]) => status);
  return { child, screen, ended };
}
