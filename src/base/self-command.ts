/** How to start this program again. */

/** The words of a command line: the compiled program, or the runtime and the source. */
export function selfCommand(): string[] {
  const isCompiled = Bun.main.startsWith("/$bunfs/");
  return isCompiled ? [process.execPath] : [process.execPath, Bun.main];
}
