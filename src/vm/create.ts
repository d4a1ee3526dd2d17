/** From a create request to a complete spec: names resolved, defaults filled in. */
import { randomBytes } from "node:crypto";
import type { Image } from "#api/image.ts";
import type { NetworkMode, VmCreate } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import type { WorkOptions } from "#base/progress.ts";
import { similarNames } from "#base/similar.ts";
import { MiB } from "#base/size.ts";
import type { Config } from "#config/resolve.ts";
import { parseNeeds } from "#kernels/select.ts";
import { assertLimitable } from "#net/bandwidth/bandwidth.ts";
import { macAddress } from "#net/names.ts";
import { checkPolicy } from "#net/policy/policy.ts";
import { checkPorts } from "#net/ports/spec.ts";
import { assertPossible, hostSize } from "#vm/life/admission.ts";
import { driverFor } from "#vm/life/choose-driver.ts";
import { requireNetworks } from "#vm/network/networks.ts";
import { secretsOf } from "#vm/secrets/secrets.ts";
import { sshAgentOf } from "#vm/ssh-agent/agents.ts";
import { mountsOf } from "#vm/volumes/check.ts";
import { withShares } from "#vm/volumes/share-kernel.ts";
import { defaultCpus } from "./default-cpus.ts";
import type { VmDeps } from "./deps.ts";
import { machineCommand } from "./exec.ts";
import { imageKernelName } from "./image-boot.ts";
import { modeFor } from "./mode.ts";
import { makeName } from "./names.ts";
import { withNested } from "./nested/nested.ts";
import { findVm, insertVm, type NewVm, reservedAddresses } from "./records.ts";
import { bandwidthOf } from "./spec.ts";

/** Settings that clients cannot choose. */
export interface Internal {
  ephemeral?: boolean;
  isBuild?: boolean;
  /** Id of the token that it belongs to. */
  token?: string | undefined;
}

/** Resolves, reserves the name and the address, and enters the machine as `creating`. */
export async function createRecord(
  deps: VmDeps,
  wanted: VmCreate & Internal & { id: string },
  work: WorkOptions,
): Promise<NewVm> {
  const { db, config } = deps;
  const request = await withShares(deps, await withNested(deps, wanted));
  if (request.name && findVm(db, request.name)?.name === request.name) {
    throw new BangerError(
      "already_exists",
      `Cannot create machine "${request.name}": the name is already in use`,
      {
        hint: `Use a different name, or remove it first: banger vm rm ${request.name}`,
      },
    );
  }
  assertPossible(request, hostSize(config.paths.vms));
  const network = await chooseNetwork(deps, request.network ?? config.values["network.mode"]);
  // What cannot run here is said before megabytes are fetched for it.
  driverFor(deps, { monitor: request.monitor, network, cpus: request.cpus });
  const image = await resolveImage(deps, request.image ?? config.values.default_image_name, work);
  // Until the machine's row names the image, nothing else keeps it from being removed.
  using _held = deps.images.hold(image.id);
  const kernel = await resolveKernel(deps, request, image, work);
  const { id } = request;
  const { mode, reason } = modeFor(image, request.mode ?? "auto");
  if (reason) work.onProgress?.({ step: "mode", message: reason });
  const command = machineCommand(image.config, { ...request, mode });
  const sizes = sizesOf(request, config);
  const mounts = mountsOf(request, { mode, ...sizes });
  const names = mounts.volumes?.map(({ volume }) => volume) ?? [];
  await deps.volumes.ensure(names, request.token);
  return db
    .transaction(() => {
      const layer = mode === "systemd" ? deps.images.provisioned.current(image.id) : undefined;
      const vm: NewVm = {
        id,
        name: request.name ?? makeName((name) => findVm(db, name) !== undefined),
        imageId: image.id,
        kernel,
        owner: deps.owner,
        token: request.token,
        spec: {
          mode,
          command,
          ...(command && request.commandOptions ? { commandOptions: request.commandOptions } : {}),
          ...(layer ? { provisioned: layer.id } : {}),
          ...sizes,
          ...limitsOf(request, network),
          network,
          ...addressOf(deps, network),
          mac: macAddress(id),
          ...(request.monitor ? { monitor: request.monitor } : {}),
          ...policyOf(request, network),
          ...secretsOf(deps, request.secrets, { network }),
          ...sshAgentOf(deps, request.sshAgent),
          ...networksOf(deps, request, network),
          ...(request.ports?.length ? { ports: checkPorts(request.ports) } : {}),
          ...mounts,
          machineId: randomBytes(16).toString("hex"),
          env: request.env ?? {},
          ...(request.hostname ? { hostname: request.hostname } : {}),
          ...(request.labels ? { labels: request.labels } : {}),
          ...(request.restart && request.restart !== "no" ? { restart: request.restart } : {}),
          ...(request.ttl_ms ? { ttl_ms: request.ttl_ms } : {}),
          ...(request.idleStop_ms ? { idleStop_ms: request.idleStop_ms } : {}),
          ...(request.idleSuspend_ms ? { idleSuspend_ms: request.idleSuspend_ms } : {}),
          ...(request.ephemeral ? { ephemeral: true } : {}),
          ...(request.isBuild ? { isBuild: true } : {}),
        },
      };
      insertVm(db, vm);
      return vm;
    })
    .immediate();
}

function sizesOf(request: VmCreate, config: Config) {
  const { values } = config;
  return {
    cpus: request.cpus ?? defaultCpus(config),
    memory_mib: request.memory_mib ?? Math.floor(values["vm.memory"] / MiB),
    disk_bytes: request.disk_bytes ?? values["vm.disk"],
  };
}

function networksOf(deps: VmDeps, { networks = [] }: VmCreate, mode: NetworkMode) {
  const names = requireNetworks(deps.db, { names: networks, mode });
  return names.length > 0 ? { networks: names } : {};
}

function limitsOf({ limits }: VmCreate, network: NetworkMode) {
  if (!limits) return {};
  assertLimitable(bandwidthOf({ limits }), network);
  return { limits };
}

function policyOf({ policy }: VmCreate, network: NetworkMode) {
  if (!policy) return {};
  return { allow: checkPolicy(policy.allow, network), ...(policy.ask ? { ask: true } : {}) };
}

export function addressOf(deps: VmDeps, network: NetworkMode): { address?: string } {
  if (network !== "nat" && network !== "host") return {};
  return { address: deps.network.newAddress(reservedAddresses(deps.db)) };
}

/** "auto" is nat where this user can have taps and rules, here or in a namespace; the user-mode stack elsewhere. */
async function chooseNetwork(deps: VmDeps, wanted: NetworkMode | "auto"): Promise<NetworkMode> {
  if (wanted !== "auto") {
    await deps.network.assertUsable(wanted);
    return wanted;
  }
  return (await deps.network.canUse("nat")) ? "nat" : "user";
}

/** An image that is not here is pulled, unless the name looks like a slip of one that is. */
async function resolveImage(deps: VmDeps, ref: string, work: WorkOptions): Promise<Image> {
  const found = deps.images.find(ref);
  if (found) return found;
  const names = deps.images.list().map(({ name }) => name);
  const isPlainName = !/[/:@]/.test(ref);
  if (isPlainName && similarNames(ref, names).length > 0) return deps.images.show(ref);
  return await deps.images.pull({ reference: ref }, work);
}

/** A kernel that was asked for by name must be here; the default one is pulled. */
async function resolveKernel(
  deps: VmDeps,
  request: VmCreate,
  image: Image,
  work: WorkOptions,
): Promise<string> {
  if (request.kernel) return (await deps.kernels.show(request.kernel)).name;
  const name = deps.kernels.defaultName() ?? deps.config.values.default_kernel;
  if (request.needs) {
    const preferred = [image.kernel ?? name, name];
    return (await deps.kernels.select(parseNeeds(request.needs), preferred)).name;
  }
  const own = imageKernelName(image);
  if (own) return own;
  if (image.kernel) return (await deps.kernels.show(image.kernel)).name;
  const isHere = (await deps.kernels.list()).some((kernel) => kernel.name === name);
  return isHere ? name : (await deps.kernels.pull(name, work)).name;
}
