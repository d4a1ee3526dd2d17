/** What the command line asks of the environment besides the configuration. */

/** Undefined when the variable is not set. */
export function variable(name: string): string | undefined {
  return process.env[name];
}

/** https://no-color.org, and terminals that know no escape sequences. */
export function forbidsColor(): boolean {
  return Boolean(process.env["NO_COLOR"]) || process.env["TERM"] === "dumb";
}

/** The environment for another process of banger, without what would make its runtime load something else. */
export function daemonEnvironment(): Record<string, string | undefined> {
  const { BUN_OPTIONS: _options, BUN_BE_BUN: _beBun, ...rest } = process.env;
  return rest;
}
