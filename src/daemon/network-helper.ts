/** The process in a user's network namespace; see src/net/rootless. */

import { BangerError } from "#base/error.ts";
import { EgressProxy } from "#egress/proxy.ts";
import { handOver } from "#egress/remote.ts";
import { resolverBy } from "#egress/resolve.ts";
import { serveNetwork } from "#net/rootless/serve.ts";
import { openStoreReadOnly } from "#store/db.ts";
import { machineNames } from "#vm/network/resolve-names.ts";

/** Until its stdin ends. */
export async function runNetworkHelper(): Promise<void> {
  await serveNetwork({
    input: process.stdin,
    output: process.stdout,
    names: namesIn,
    proxy: ({ policies, ask, askUser, interceptor: path }) => {
      const hostsOf = (machineId: string) => policies.secretHosts(machineId);
      const interceptor = path === undefined ? undefined : handOver(path, hostsOf);
      return new EgressProxy({
        ...{ policies, interceptor, ask: askUser },
        resolve: resolverBy(ask, () => []),
      });
    },
  });
}

function namesIn(database: string) {
  const db = openStoreReadOnly(database);
  if (db) return machineNames(db);
  throw new BangerError("internal", `Cannot read the names of machines from ${database}`);
}
