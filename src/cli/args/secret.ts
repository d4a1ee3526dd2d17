/** Parses `--secret id=ID[,src=FILE|env=NAME]` of a build, as docker does. */
import { existsSync } from "node:fs";
import { BangerError } from "#base/error.ts";
import { KiB } from "#base/size.ts";
import { variable } from "#config/environment.ts";
import { readGivenBytes } from "./dockerfile.ts";

const SECRET_MAX_BYTES = 500 * KiB;

/** By their ids, in base64; undefined when there are none. */
export function readSecrets(texts: readonly string[]): Record<string, string> | undefined {
  if (texts.length === 0) return undefined;
  return Object.fromEntries(texts.map(readSecret));
}

function readSecret(text: string): [string, string] {
  const fields = new Map(
    text.split(",").map((field): [string, string] => {
      const at = field.indexOf("=");
      return at < 0 ? [field, ""] : [field.slice(0, at), field.slice(at + 1)];
    }),
  );
  const known = ["id", "src", "source", "env", "type"];
  const other = [...fields.keys()].find((name) => !known.includes(name));
  const source = fields.get("src") ?? fields.get("source");
  const id = fields.get("id") || source;
  if (other !== undefined || !id) throw invalid(text, other);
  const name = fields.get("env") ?? (fields.get("type") === "env" ? (source ?? id) : undefined);
  // Without a place, docker looks for a variable of that name first.
  const own = name ?? (source === undefined && !existsSync(id) ? id : undefined);
  if (own === undefined)
    return [id, readGivenBytes(source ?? id, SECRET_MAX_BYTES).toString("base64")];
  const value = variable(own);
  if (value !== undefined) return [id, Buffer.from(value).toString("base64")];
  throw new BangerError(
    "not_found",
    `Cannot read secret "${id}": environment variable ${own} is not set`,
    {
      hint: `Pass a file instead: --secret id=${id},src=FILE`,
    },
  );
}

function invalid(text: string, field: string | undefined): BangerError {
  const problem = field === undefined ? "missing id" : `unknown field "${field}"`;
  return new BangerError("invalid_argument", `invalid value for --secret: "${text}": ${problem}`, {
    hint: "Use id=ID,src=FILE or id=ID,env=NAME",
  });
}
