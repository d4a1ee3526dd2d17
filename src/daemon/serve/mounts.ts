/** Foreign APIs that are served beside banger's own, and the parts of the daemon that they use. */
import { getLogger } from "@logtape/logtape";
import { createRouterClient } from "@orpc/server";
import type { Caller } from "#api/serve/caller.ts";
import type { BangerClient, Mount, MountContext } from "#api/serve/mount.ts";
import { messageOf } from "#base/error.ts";
import type { Config } from "#config/resolve.ts";
import type { StreamServices } from "#daemon/exec/streams.ts";
import type { makeRouter } from "#daemon/handlers/router.ts";
import { clientOf } from "#sdk/client.ts";
import { e2bMounts } from "./e2b.ts";
import { openExecHere } from "./exec-pair.ts";
import { mcpMount } from "./mcp.ts";
import type { TrafficCaller } from "./port-door.ts";
import type { Tokens } from "./tokens.ts";

const log = getLogger(["banger", "daemon"]);

export type Router = ReturnType<typeof makeRouter>;

export interface Mounts {
  /** In the order in which their prefixes are matched. */
  all: Mount[];
  /** Starts the background work of mounts. */
  start(): void;
  stop(): void;
  trafficCaller: TrafficCaller;
}

export function makeMounts({ services, router }: MountsOptions): Mounts {
  const { tokens, config } = services;
  const context = mountContext({ services, router });
  const { mounts, e2b } = e2bMounts(context, {
    tokens,
    keyPath: config.paths.e2bKey,
    folder: config.paths.e2bFiles,
  });
  return {
    all: [...mounts, mcpMount()],
    start() {
      e2b.start().catch((error) => log.error("e2b: {message}", { message: messageOf(error) }));
    },
    stop: () => e2b.close(),
    trafficCaller: (vm, token) => e2b.trafficCaller(vm, token),
  };
}

export interface ContextOptions {
  services: StreamServices & { tokens: Tokens };
  router: Router;
}

interface MountsOptions extends ContextOptions {
  services: StreamServices & { tokens: Tokens; config: Config };
}

/** What is the same for all requests. */
export function mountContext({
  services,
  router,
}: ContextOptions): Pick<MountContext, "clientFor" | "openExec"> {
  return {
    clientFor: (caller) => clientFor(router, caller),
    openExec: (caller, open, options) => openExecHere(services, caller, { open, options }),
  };
}

type Call = (input: unknown, options: { signal?: AbortSignal | undefined }) => Promise<unknown>;

/** The router called in-process, with the same errors as the SDK's client. */
export function clientFor(router: Router, caller: Caller): BangerClient {
  const direct: unknown = createRouterClient(router, { context: { caller } });
  return clientOf(async (path, input, { signal }) => {
    const procedure = path.reduce<unknown>(
      (node, part) => Reflect.get(Object(node), part),
      direct,
    ) as Call;
    return await procedure(input, { signal });
  }, "");
}
