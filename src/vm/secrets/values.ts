import type { MachineSecretRequest } from "#api/secrets/secret.ts";

/** Where the values are; the daemon has it from the egress. */
export interface SecretValues {
  /** Keeps the values that were given; throws for a secret without one. */
  keep(lineage: string, requests: readonly MachineSecretRequest[]): void;
  /** Forgets the values of machines that are gone. */
  prune(isThere: (lineage: string) => boolean): void;
  /** What the machine has in place of a value. */
  placeholder(lineage: string, name: string): string;
  /** Of the machine's certificate authority, in PEM. */
  certificate(lineage: string): Promise<string>;
  /** The host's roots in PEM, for images that have none. */
  roots(): string;
}
