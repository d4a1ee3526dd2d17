/** Secrets of machines: what their records have of them, and what goes into the guest in their place. */
import type { Database } from "bun:sqlite";
import { randomBytes } from "node:crypto";
import type { MachineSecretRequest } from "#api/secrets/secret.ts";
import { BangerError } from "#base/error.ts";
import type { NetworkMode } from "#net/mode.ts";
import type { VmDeps } from "#vm/deps.ts";
import { findVm, listVms, type VmRecord } from "#vm/records.ts";
import type { VmSpec } from "#vm/spec.ts";
import { trustEnvironment } from "./trust.ts";

/** What the record of a new machine has. `lineage`: of the machine whose memory it goes on from. */
export function secretsOf(
  { secrets: values }: Pick<VmDeps, "secrets">,
  requests: readonly MachineSecretRequest[] | undefined,
  { network, lineage }: { network: NetworkMode; lineage?: string | undefined },
): Pick<VmSpec, "lineage" | "secrets"> {
  if (!requests || requests.length === 0) return lineage === undefined ? {} : { lineage };
  if (network !== "nat" && network !== "host") {
    throw new BangerError("unsupported", `Cannot use secrets on a machine with --net ${network}`, {
      hint: "Use --net nat or --net host",
    });
  }
  if (!values) {
    throw new BangerError(
      "unsupported",
      "Cannot use secrets: this process has no proxy for the machines' connections",
      { hint: "Use a machine of the daemon" },
    );
  }
  const own = lineage ?? randomBytes(8).toString("hex");
  values.keep(own, requests);
  return { lineage: own, secrets: requests.map(({ value: _, ...rest }) => rest) };
}

/** Placeholders, and where programs find the certificates that they have to trust. */
export function secretEnvironment(
  { secrets: values }: Pick<VmDeps, "secrets">,
  { spec }: Pick<VmRecord, "spec">,
): { trust: Record<string, string>; placeholders: Record<string, string> } {
  const { lineage, secrets = [] } = spec;
  if (!values || lineage === undefined || secrets.length === 0)
    return { trust: {}, placeholders: {} };
  const pairs = secrets.map(({ name }) => [name, values.placeholder(lineage, name)] as const);
  return { trust: trustEnvironment, placeholders: Object.fromEntries(pairs) };
}

/** For the egress: by the machine's id. */
export function machineSecrets(db: Database) {
  return (id: string) => {
    const { lineage, secrets = [] } = findVm(db, id)?.spec ?? {};
    return lineage === undefined || secrets.length === 0 ? undefined : { lineage, secrets };
  };
}

/** Values that were given for machines go with the last of them. */
export function pruneSecrets({ db, secrets: values }: Pick<VmDeps, "db" | "secrets">): void {
  const lineages = new Set(listVms(db).map(({ spec }) => spec.lineage));
  values?.prune((lineage) => lineages.has(lineage));
}
