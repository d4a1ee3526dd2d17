/** Parses `--secret NAME[=@FILE|=env:VAR]@HOST[,HOST]…` of a machine. */
import { type MachineSecretRequest, machineSecretRequest } from "#api/secrets/secret.ts";
import { BangerError } from "#base/error.ts";
import { readSecretValue } from "./secret-value.ts";

/** Undefined when there are none. */
export function machineSecretsOf(texts: readonly string[]): MachineSecretRequest[] | undefined {
  return texts.length === 0 ? undefined : texts.map(machineSecretOf);
}

function machineSecretOf(text: string): MachineSecretRequest {
  const at = text.lastIndexOf("@");
  const [, name, source] = /^([^=]+)(?:=(.*))?$/.exec(text.slice(0, Math.max(0, at))) ?? [];
  if (name === undefined) throw invalid(shown(text), "missing @HOST");
  const hosts: string[] = [];
  const headers: string[] = [];
  const places = { inQuery: false, inBody: false };
  for (const item of text.slice(at + 1).split(",")) {
    const [, key, setting = ""] = /^(header|in)=(.*)$/.exec(item) ?? [];
    if (key === "header") headers.push(setting.toLowerCase());
    else if (key === "in" && setting === "query") places.inQuery = true;
    else if (key === "in" && setting === "body") places.inBody = true;
    else if (item.includes("=")) throw invalid(name, `unknown setting "${item}"`);
    else hosts.push(item.toLowerCase());
  }
  const request = {
    name,
    hosts,
    ...(headers.length > 0 ? { headers } : {}),
    ...(places.inQuery ? { inQuery: true } : {}),
    ...(places.inBody ? { inBody: true } : {}),
    ...(source === undefined ? {} : { value: valueFrom(name, source) }),
  };
  const { error } = machineSecretRequest.safeParse(request);
  if (error) throw invalid(name, problemOf(error.issues, request));
  return request;
}

function valueFrom(name: string, source: string): string {
  if (source.startsWith("@")) return readSecretValue({ file: source.slice(1) });
  if (source.startsWith("env:")) return readSecretValue({ env: source.slice("env:".length) });
  throw invalid(name, "a value on the command line is visible to other users");
}

/** Which host or header, where the problem is in one of several; never the value. */
function problemOf(
  [issue]: readonly { message: string; path: readonly PropertyKey[] }[],
  { hosts, headers = [] }: Pick<MachineSecretRequest, "hosts" | "headers">,
): string {
  const [field, index] = issue?.path ?? [];
  const items = field === "hosts" ? hosts : field === "headers" ? headers : [];
  const item = typeof index === "number" ? items[index] : undefined;
  return `${item === undefined ? "" : `"${item}": `}${issue?.message}`;
}

/** What is behind the name may be a value. */
function shown(text: string): string {
  return text.replace(/[=@].*/s, "");
}

function invalid(name: string, problem: string): BangerError {
  return new BangerError("invalid_argument", `invalid value for --secret "${name}": ${problem}`, {
    hint: "Use NAME=env:VAR@HOST, NAME=@FILE@HOST, or NAME@HOST for a secret of the keyring",
  });
}
