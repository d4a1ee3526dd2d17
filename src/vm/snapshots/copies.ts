/** Makes machines of what another one was: with its disk, mostly from its memory, and an identity of their own. */
import { randomBytes } from "node:crypto";
import { getLogger } from "@logtape/logtape";
import type { Vm, VmCreate } from "#api/vm.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { newId } from "#base/id.ts";
import { warningProgress } from "#base/progress.ts";
import { assertLimitable } from "#net/bandwidth/bandwidth.ts";
import { macAddress } from "#net/names.ts";
import { checkPolicy } from "#net/policy/policy.ts";
import { checkPorts } from "#net/ports/spec.ts";
import type { SnapshotSpec } from "#snapshots/record.ts";
import { addressOf, type Internal } from "#vm/create.ts";
import type { VmDeps } from "#vm/deps.ts";
import type { BootOptions } from "#vm/life/boot.ts";
import { monitorOfCopy } from "#vm/life/choose-driver.ts";
import type { Lifecycle } from "#vm/life/lifecycle.ts";
import { makeName } from "#vm/names.ts";
import { requireNetworks } from "#vm/network/networks.ts";
import { findVm, getVm, insertVm, toApi } from "#vm/records.ts";
import { secretsOf } from "#vm/secrets/secrets.ts";
import { bandwidthOf, type VmSpec } from "#vm/spec.ts";
import { sshAgentOf } from "#vm/ssh-agent/agents.ts";
import type { MemorySource } from "./source.ts";

const log = getLogger(["banger", "vm"]);

export interface CopySource {
  imageId: string;
  kernel: string;
  spec: SnapshotSpec;
  /** That the memory has mounted, for reading. */
  volumes?: VmSpec["volumes"];
  diskPath: string;
  /** Absent: the copies boot. */
  memory: MemorySource | undefined;
  /** Of a running machine: its copies have them too. */
  secrets?: VmSpec["secrets"];
  sshAgent?: VmSpec["sshAgent"];
  /** For whoever asks where a machine came from. */
  origin: Pick<VmSpec, "snapshot" | "forkOf">;
}

/** What a copy may have of its own. */
export const COPY_FIELDS = [
  "name",
  "snapshot",
  "limits",
  "ports",
  "policy",
  "networks",
  "secrets",
  "sshAgent",
  "env",
  "hostname",
  "labels",
  "restart",
  "ttl_ms",
  "idleStop_ms",
  "idleSuspend_ms",
  "start",
] as const;
export type CopyRequest = Pick<VmCreate, (typeof COPY_FIELDS)[number]> & Pick<Internal, "token">;

const NOT_STARTED =
  "the machine is not started, so the memory of the snapshot is not used: it will boot from the disk";

/** Nothing of it is left when it fails. */
export async function makeCopy(
  { deps, lifecycle }: { deps: VmDeps; lifecycle: Lifecycle },
  source: CopySource,
  { request, ...options }: BootOptions & { request: CopyRequest },
): Promise<Vm> {
  const id = newId();
  await deps.network.assertUsable(source.spec.network);
  return await lifecycle.whileBusy(id, async () => {
    insertCopy(deps, source, { request, id });
    try {
      const { signal } = options;
      await lifecycle.make(id, { disk: source.diskPath, isToBeUndone: true, signal });
      if (request.start === false) {
        lifecycle.change(id, { intent: null });
        if (source.memory) options.onProgress?.(warningProgress(NOT_STARTED));
      } else await lifecycle.start(id, { ...options, from: source.memory ?? "disk" });
      return toApi(getVm(deps.db, id));
    } catch (error) {
      await lifecycle.removal
        .remove(id, { force: true })
        .catch((failure) =>
          log.error("cannot undo {id}: {message}", { id, message: messageOf(failure) }),
        );
      throw error;
    }
  });
}

function insertCopy(
  deps: VmDeps,
  { spec, volumes, origin, imageId, kernel, memory, secrets, sshAgent }: CopySource,
  { request, id }: { request: CopyRequest; id: string },
): void {
  const { db } = deps;
  const { network, networks = [], allow, ask, env, lineage, ...kept } = spec;
  db.transaction(() => {
    const names = requireNetworks(db, { names: request.networks ?? networks, mode: network });
    const limits = request.limits ? { ...kept.limits, ...request.limits } : kept.limits;
    assertLimitable(bandwidthOf({ limits }), network);
    const policy = request.policy ?? (allow && { allow, ask });
    insertVm(db, {
      id,
      name: request.name ?? makeName((name) => findVm(db, name) !== undefined),
      imageId,
      kernel,
      owner: deps.owner,
      token: request.token,
      spec: {
        ...kept,
        ...origin,
        volumes,
        network,
        ...monitorOfCopy(deps, { saved: memory?.driver, network, cpus: spec.cpus }),
        ...addressOf(deps, network),
        mac: macAddress(id),
        machineId: randomBytes(16).toString("hex"),
        env: { ...env, ...request.env },
        networks: names.length > 0 ? names : undefined,
        limits,
        allow: policy && checkPolicy(policy.allow, network),
        ...(policy?.ask ? { ask: true } : {}),
        ...(secrets ? { secrets } : {}),
        ...secretsOf(deps, request.secrets, { network, lineage }),
        ...sshAgentOf(deps, request.sshAgent ?? sshAgent),
        ports: request.ports?.length ? checkPorts(request.ports) : undefined,
        restart: request.restart ?? kept.restart,
        hostname: request.hostname,
        labels: request.labels,
        ttl_ms: request.ttl_ms,
        idleStop_ms: request.idleStop_ms,
        idleSuspend_ms: request.idleSuspend_ms,
      },
    });
  }).immediate();
}

/** `invalid_argument` for what a machine has from its snapshot. */
export function copyRequest(request: VmCreate & Internal): CopyRequest {
  const allowed = new Set<string>([...COPY_FIELDS, "token"]);
  const other = Object.entries(request).find(
    ([field, value]) => value !== undefined && !allowed.has(field),
  );
  if (!other) return request;
  const field = other[0].replace(/_.*/, "");
  throw new BangerError(
    "invalid_argument",
    `conflicting options: snapshot and ${field}, which a machine has from its snapshot`,
  );
}
