/** Words of a systemd unit, as systemd.syntax(7) and systemd.service(5) take them with anything in them. */

/** Of ExecStart after the program, where a dollar begins a variable. */
export function unitArgument(word: string): string {
  return unitWord(word).replaceAll("$", "$$$$");
}

/** The program of ExecStart, or an assignment of Environment: no variables are looked for. */
export function unitWord(word: string): string {
  return `"${word.replaceAll(/["\\]/g, "\\$&").replaceAll("%", "%%").replaceAll("\n", "\\n")}"`;
}

/** The words of a command line, the program first. */
export function unitCommand([program = "", ...rest]: readonly string[]): string {
  return [unitWord(program), ...rest.map(unitArgument)].join(" ");
}
