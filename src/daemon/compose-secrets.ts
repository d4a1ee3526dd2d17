/** Builds what keeps secrets and what puts them in, once for each process that needs them. */
import type { Database } from "bun:sqlite";
import { readFileSync } from "node:fs";
import { rootCertificates } from "node:tls";
import type { Config } from "#config/resolve.ts";
import { SecretInterceptor } from "#egress/intercept/intercept.ts";
import { hostBundle } from "#egress/intercept/upstream.ts";
import { SecretKeeper } from "#egress/secrets/keeper.ts";
import { machineSecrets } from "#vm/secrets/secrets.ts";
import type { SecretValues } from "#vm/secrets/values.ts";

export function composeSecrets({ paths }: Pick<Config, "paths">, db: Database) {
  const machine = machineSecrets(db);
  const keeper = new SecretKeeper({ keyring: paths.keyring, key: paths.egressKey, machine });
  const interceptor = new SecretInterceptor(keeper, { key: () => keeper.hostKey() });
  const values: SecretValues = {
    keep: (lineage, requests) => keeper.keep(lineage, requests),
    prune: (isThere) => keeper.prune(isThere),
    placeholder: (lineage, name) => keeper.placeholder(lineage, name),
    certificate: (lineage) => interceptor.certificate(lineage),
    roots: () => {
      const path = hostBundle();
      return path === undefined ? rootCertificates.join("\n") : readFileSync(path, "utf8");
    },
  };
  return { keeper, interceptor, values };
}
