/** The life of sandboxes: each is a machine with E2B's record in its labels. */
import { z } from "zod";
import { VM_FORKS_MAX } from "#api/snapshot.ts";
import { VM_TTL_MAX_MS, VM_TTL_MIN_MS, type Vm } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import type { Backend } from "#e2b/backend.ts";
import { E2bError, notServed, statusOf } from "#e2b/errors.ts";
import {
  endLabels,
  isPaused,
  recordLabels,
  requireSandbox,
  type Sandbox,
  type SandboxRecord,
} from "#e2b/record.ts";
import { finish } from "#sdk/stream.ts";
import { assertServed, networkCreate, policyFor } from "./network.ts";
import { sourceOf } from "./source.ts";
import { startTemplate } from "./start-command.ts";

/** E2B's own default. */
const TIMEOUT_DEFAULT_S = 300;
/** As much as a machine's ttl has room for besides its age. */
const TIMEOUT_MAX_S = Math.floor(VM_TTL_MAX_MS / 2000);

export const timeoutSeconds = z.int().min(0).max(TIMEOUT_MAX_S);

export const newSandbox = z.object({
  templateID: z.string().min(1).max(1024),
  timeout: timeoutSeconds.nullish(),
  metadata: z.record(z.string(), z.string()).nullish(),
  envVars: z.record(z.string(), z.string()).nullish(),
  allow_internet_access: z.boolean().nullish(),
  network: networkCreate.nullish(),
  autoPause: z.boolean().nullish(),
  autoPauseMemory: z.boolean().nullish(),
  autoResume: z.object({ enabled: z.boolean() }).nullish(),
  mcp: z.unknown().nullish(),
  iam: z.unknown().nullish(),
  volumeMounts: z.array(z.unknown()).nullish(),
});
export type NewSandbox = z.infer<typeof newSandbox>;

export const connectRequest = z.object({
  timeout: timeoutSeconds.nullish(),
  memory: z.boolean().nullish(),
});

export async function createSandbox(
  backend: Backend,
  wanted: NewSandbox,
  signal: AbortSignal,
): Promise<Sandbox> {
  const { templateID, network, allow_internet_access: internet } = wanted;
  if (wanted.mcp) throw notServed("the MCP gateway of sandboxes");
  if (wanted.iam) throw notServed("workload identity tokens");
  if (wanted.volumeMounts?.length) throw notServed("volumes");
  if (network) assertServed(network);
  const record: SandboxRecord = {
    template: templateID,
    ...(wanted.metadata ? { metadata: wanted.metadata } : {}),
    onTimeout: wanted.autoPause ? "pause" : "kill",
    keepMemory: wanted.autoPauseMemory ?? true,
    autoResume: wanted.autoResume?.enabled ?? false,
    ...(typeof internet === "boolean" ? { internet } : {}),
    ...(network?.allowPublicTraffic ? { isPublic: true } : {}),
    ...(network ? { network: { allowOut: network.allowOut, denyOut: network.denyOut } } : {}),
  };
  const timeout_s = wanted.timeout ?? TIMEOUT_DEFAULT_S;
  const policy = policyFor(network ?? {}, internet);
  const { create, settings } = await sourceOf(backend, templateID);
  const end_ms = Date.now() + timeout_s * 1000;
  const labels = { ...recordLabels(record), ...endLabels(end_ms, timeout_s) };
  const work = backend.client.vm.create(
    {
      ...create,
      ...(wanted.envVars ? { env: wanted.envVars } : {}),
      ...(policy ? { policy } : {}),
      ...(record.onTimeout === "kill" ? { ttl_ms: Math.max(timeout_s * 1000, VM_TTL_MIN_MS) } : {}),
      labels,
    },
    { signal },
  );
  const vm = await finish(work);
  try {
    await startTemplate(backend, vm, { ...settings, signal });
  } catch (error) {
    await backend.client.vm.remove({ name: vm.id, force: true });
    throw error;
  }
  // The timeout starts when the sandbox exists, not with the request.
  return await setTimeoutOf(backend, requireSandbox(vm, vm.id), timeout_s);
}

export async function findSandbox({ client }: Backend, id: string): Promise<Sandbox> {
  let vm: Vm;
  try {
    vm = await client.vm.show({ name: id });
  } catch (error) {
    if (error instanceof BangerError && /^(not_found|invalid_argument)$/.test(error.code)) {
      throw new E2bError(404, `sandbox "${id}" not found`);
    }
    throw error;
  }
  return requireSandbox(vm, id);
}

/** From now on; a sandbox that is paused has no end. */
export async function setTimeoutOf(
  { client }: Backend,
  { vm, record }: Sandbox,
  timeout_s: number,
): Promise<Sandbox> {
  const now = Date.now();
  const age_ms = Math.max(0, now - Date.parse(vm.createdAt));
  const ttl_ms = Math.max(age_ms + timeout_s * 1000, age_ms + VM_TTL_MIN_MS);
  const changed = await client.vm.set({
    name: vm.id,
    ttl_ms: record.onTimeout === "kill" ? ttl_ms : null,
    labels: endLabels(now + timeout_s * 1000, timeout_s),
  });
  return requireSandbox(changed, vm.id);
}

/** 409 when it is paused already, which clients take for no failure. */
export async function pauseSandbox(
  backend: Backend,
  sandbox: Sandbox,
  keepMemory: boolean,
): Promise<void> {
  const { vm, record } = sandbox;
  if (isPaused(sandbox)) throw new E2bError(409, `sandbox "${vm.id}" is already paused`);
  const { client } = backend;
  // Paused sandboxes do not time out.
  if (record.onTimeout === "kill") await client.vm.set({ name: vm.id, ttl_ms: null });
  try {
    if (keepMemory) await finish(client.vm.suspend({ name: vm.id }));
    else await client.vm.stop({ name: vm.id });
  } catch (error) {
    const left_s = Math.max(1, Math.ceil((sandbox.end_ms - Date.now()) / 1000));
    if (record.onTimeout === "kill") await setTimeoutOf(backend, sandbox, left_s);
    throw error;
  }
}

/** Whether it was paused, besides what it is now. `timeout_s` only makes the time longer where it runs already. */
export async function resumeSandbox(
  backend: Backend,
  sandbox: Sandbox,
  { timeout_s = TIMEOUT_DEFAULT_S, memory = true, signal }: ResumeOptions,
): Promise<{ sandbox: Sandbox; wasPaused: boolean }> {
  const { client } = backend;
  const name = sandbox.vm.id;
  const { state } = sandbox.vm;
  const wasPaused = isPaused(sandbox);
  if (!wasPaused) {
    const isLonger = Date.now() + timeout_s * 1000 > sandbox.end_ms;
    const now = isLonger ? await setTimeoutOf(backend, sandbox, timeout_s) : sandbox;
    return { sandbox: now, wasPaused };
  }
  if (state === "stopped" || state === "stopping") {
    await finish(client.vm.start({ name }, { signal }));
  } else if (!memory) {
    await client.vm.kill({ name });
    await finish(client.vm.start({ name }, { signal }));
  } else await finish(client.vm.resume({ name }, { signal }));
  return { sandbox: await setTimeoutOf(backend, sandbox, timeout_s), wasPaused };
}

export interface ResumeOptions {
  timeout_s?: number | undefined;
  /** Without it, the machine boots from its disk. */
  memory?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

export const forkRequest = z.object({
  count: z.int().min(1).max(VM_FORKS_MAX).nullish(),
  timeout: timeoutSeconds.nullish(),
});

/** Each copy, or the error of its creation. */
export async function forkSandbox(
  backend: Backend,
  { vm, record }: Sandbox,
  { count, timeout, signal }: z.infer<typeof forkRequest> & { signal: AbortSignal },
): Promise<(Sandbox | { error: { code: number; message: string } })[]> {
  const { client } = backend;
  const wanted = count ?? 1;
  let machines: Vm[];
  try {
    const forked = await finish(client.vm.fork({ name: vm.id, count: wanted }, { signal }));
    machines = forked.machines;
  } catch (error) {
    const { status, message } = statusOf(error);
    if (status === 404) throw error;
    return Array.from({ length: wanted }, () => ({ error: { code: status, message } }));
  }
  const timeout_s = timeout ?? TIMEOUT_DEFAULT_S;
  return await Promise.all(
    machines.map(async (copy) => {
      const end_ms = Date.now() + timeout_s * 1000;
      const labels = { ...recordLabels(record), ...endLabels(end_ms, timeout_s) };
      const labelled = await client.vm.set({ name: copy.id, labels });
      return await setTimeoutOf(backend, requireSandbox(labelled, copy.id), timeout_s);
    }),
  );
}
