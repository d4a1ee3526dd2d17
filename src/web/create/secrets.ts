/** Secrets of a new machine, whose values are in the keyring: from the form, and as words of the command line. */
import type { MachineSecretRequest } from "#api/secrets/secret.ts";
import { wordsOf } from "#web/parts/words.ts";

/** As typed. */
export interface SecretRow {
  name: string;
  hosts: string;
}

export const NO_SECRET: SecretRow = { name: "", hosts: "" };
export const SECRETS_MAX = 32;

const HOST = /^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*(:[1-9]\d{0,4})?$/;
const ADDRESS = /^[\d.]+(:|$)/;

export function secretsOf(rows: readonly SecretRow[]): {
  secrets: MachineSecretRequest[];
  problem: string | undefined;
} {
  const secrets: MachineSecretRequest[] = [];
  let problem: string | undefined;
  for (const { name, hosts: text } of rows) {
    const hosts = wordsOf(text.toLowerCase());
    if (name === "" && hosts.length === 0) continue;
    const wrong = hosts.find((host) => !HOST.test(host) || ADDRESS.test(host));
    if (name === "") problem ??= `choose the secret for ${hosts.join(", ")}`;
    else if (hosts.length === 0) problem ??= `hosts of ${name}: such as api.example.com`;
    else if (wrong !== undefined) problem ??= `hosts of ${name}: "${wrong}" is no name of a host`;
    else if (secrets.some((each) => each.name === name)) problem ??= `${name} is given twice`;
    secrets.push({ name, hosts });
  }
  return { secrets, problem };
}

/** Of a secret without a value. */
export function secretWords({ name, hosts }: MachineSecretRequest): string[] {
  return ["--secret", `${name}@${hosts.join(",")}`];
}
