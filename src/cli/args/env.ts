/** Reads environment variables from `-e` and `--env-file`, with docker's rules. */
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { variable } from "#config/environment.ts";
import { readGivenBytes } from "./dockerfile.ts";

const ENV_FILE_MAX_BYTES = 4 * MiB;

interface EnvFlags {
  env: readonly string[];
  envFile: readonly string[];
}

/** Undefined when nothing was given. Later files win over earlier ones, `-e` over files. */
export function readEnvironment({ env, envFile }: EnvFlags): Record<string, string> | undefined {
  const found: Record<string, string> = {};
  for (const path of envFile) {
    for (const line of readLines(path)) add(found, line, path);
  }
  for (const text of env) add(found, text, "-e");
  return Object.keys(found).length > 0 ? found : undefined;
}

/** "NAME=value", or "NAME" for the caller's own value, which may be absent. */
function add(found: Record<string, string>, text: string, origin: string): void {
  const at = text.indexOf("=");
  const name = at < 0 ? text : text.slice(0, at);
  // As docker: "discovery.type" is as good a name as any.
  if (name === "" || name.includes("\0")) {
    throw new BangerError(
      "invalid_argument",
      `Cannot use "${text.slice(0, 100)}" of ${origin}: "${name.slice(0, 100)}" is not a valid variable name`,
      { hint: "Use NAME=value, or NAME to pass the host's value" },
    );
  }
  const value = at < 0 ? variable(name) : text.slice(at + 1);
  if (value !== undefined) found[name] = value;
}

function readLines(path: string): string[] {
  return readGivenBytes(path, ENV_FILE_MAX_BYTES)
    .toString("utf8")
    .split(/\r?\n/)
    .filter((line) => line.trim() !== "" && !line.startsWith("#"));
}
