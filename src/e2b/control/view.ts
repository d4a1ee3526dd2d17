/** Sandboxes as E2B's control plane shows them. */
import type { RequestInfo } from "#e2b/backend.ts";
import { isPaused, type Sandbox } from "#e2b/record.ts";

/** Of E2B's own agent: clients read from it which features there are. */
export const ENVD_VERSION = "0.6.13";
const CLIENT_ID = "banger";
const MIB = 1024 * 1024;

export interface SandboxTokens {
  access: string;
  /** Of its ports. */
  traffic: string;
}

/** What a client needs to talk to the sandbox. */
export function connected(
  { vm, record }: Sandbox,
  { host, tokens }: Pick<RequestInfo, "host"> & { tokens: SandboxTokens },
) {
  return {
    sandboxID: vm.id,
    templateID: record.template,
    alias: record.template,
    clientID: CLIENT_ID,
    envdVersion: ENVD_VERSION,
    domain: domainOf(host),
    envdAccessToken: tokens.access,
    trafficAccessToken: tokens.traffic,
  };
}

export function listed(sandbox: Sandbox) {
  const { vm, record, end_ms } = sandbox;
  return {
    sandboxID: vm.id,
    templateID: record.template,
    alias: record.template,
    clientID: CLIENT_ID,
    envdVersion: ENVD_VERSION,
    cpuCount: vm.cpus,
    memoryMB: vm.memory_mib,
    diskSizeMB: Math.round(vm.disk_bytes / MIB),
    startedAt: startedAt(sandbox),
    endAt: new Date(end_ms).toISOString(),
    state: isPaused(sandbox) ? "paused" : "running",
    metadata: record.metadata ?? {},
    volumeMounts: [],
  };
}

/** `token`: its access token, for callers that may change it. */
export function detailed(
  sandbox: Sandbox,
  { host, token }: Pick<RequestInfo, "host"> & { token: string | undefined },
) {
  const { onTimeout, autoResume, internet, network, isPublic = false } = sandbox.record;
  return {
    ...listed(sandbox),
    domain: domainOf(host),
    ...(token ? { envdAccessToken: token } : {}),
    lifecycle: { onTimeout, autoResume },
    ...(internet === undefined ? {} : { allowInternetAccess: internet }),
    ...(network ? { network: { ...network, allowPublicTraffic: isPublic } } : {}),
  };
}

export function startedAt({ vm }: Sandbox): string {
  return vm.startedAt ?? vm.createdAt;
}

/** `PORT-ID.localhost:7777` leads to a port of the sandbox; a name that the API is served under does likewise. */
export function domainOf(host: string): string {
  const { hostname, port } = new URL(`http://${host}`);
  const isName = /[a-z]/i.test(hostname) && !hostname.startsWith("[");
  const base = isName ? hostname : "localhost";
  return port ? `${base}:${port}` : base;
}
