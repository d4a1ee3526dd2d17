/** A secret of a machine: its name, where it may go, and what the machine has in its place. */

/** What is recorded of it: everything but the value. */
export interface MachineSecret {
  name: string;
  /** "api.example.com", "*.example.com", "api.example.com:8443"; without a port: 443. */
  hosts: readonly string[];
  /** Headers that it may be in, besides Authorization; in lower case. */
  headers?: readonly string[] | undefined;
  inQuery?: boolean | undefined;
  inBody?: boolean | undefined;
  /** The value of the machine's environment variable. */
  placeholder: string;
}

/** What the end of TLS needs to know of the secrets of machines. */
export interface SecretSource {
  /** None: the machine has no secrets, or is not known. */
  of(machineId: string): readonly MachineSecret[];
  /** Throws where there is none. */
  value(machineId: string, name: string, signal: AbortSignal): Promise<string>;
  /** Values that answers are searched for, as far as they are known without running a command. */
  known(machineId: string, names: readonly string[]): string[];
  /** Names the authority of the machine's certificates. */
  lineage(machineId: string): string;
}

const HTTPS_PORT = 443;

/** Whether it may go to a host: "*.example.com" is every name below it, and not itself. */
export function isFor(secret: MachineSecret, host: string, port: number): boolean {
  return secret.hosts.some((rule) => {
    const { name, port: wanted } = splitHost(rule);
    return wanted === port && matchesHost(name, host);
  });
}

/** Whether it has a rule for the host at any port. */
export function names(secret: MachineSecret, host: string): boolean {
  return secret.hosts.some((rule) => matchesHost(splitHost(rule).name, host));
}

function matchesHost(rule: string, host: string): boolean {
  const name = host.toLowerCase();
  return rule.startsWith("*.")
    ? name.endsWith(rule.slice(1)) && name.length > rule.length - 1
    : name === rule;
}

function splitHost(rule: string): { name: string; port: number } {
  const at = rule.lastIndexOf(":");
  if (at < 0) return { name: rule, port: HTTPS_PORT };
  return { name: rule.slice(0, at), port: Number(rule.slice(at + 1)) };
}
