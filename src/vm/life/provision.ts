/**
 * Keeping what the first boot of an image's first machine installed. The guest waits between the end of
 * the installation and the start of its init system, when nothing but that is on the writable layer;
 * the host takes the layer then, and lets it go on in any case.
 */
import { getLogger } from "@logtape/logtape";
import { messageOf } from "#base/error.ts";
import { type OnProgress, warningProgress } from "#base/progress.ts";
import type { Agent } from "#guest/agent.ts";
import type { VmDeps } from "#vm/deps.ts";
import { isOffered, PACKAGES_ARGUMENT } from "#vm/packages.ts";
import type { VmRecord } from "#vm/records.ts";
import type { MachineLink } from "./machine-link.ts";

const log = getLogger(["banger", "vm"]);

/** On the kernel's command line: read by guest/boot/first-boot.sh. */
const KEEP_ARGUMENT = "banger.first-boot=keep";
/** The writable layer as it is, whiteouts and all, and not what the overlay makes of it. */
const LAYER = "/run/banger/disk/upper";
/** A pipe from which guest/boot/first-boot.sh reads. Opened for both, so that nobody waits where it has gone on. */
const GO_ON = ["sh", "-c", "[ ! -p /run/banger/kept ] || echo 1<>/run/banger/kept"];
/** A guest that sends nothing for so long is no longer waited for. */
const SILENCE_MAX_MS = 30_000;

/** What the kernel's command line tells guest/boot/first-boot.sh. */
export function firstBootArguments(deps: VmDeps, vm: VmRecord): string[] {
  const packages = isOffered(deps, vm) ? [PACKAGES_ARGUMENT] : [];
  return [...(isToKeep(deps, vm) ? [KEEP_ARGUMENT] : []), ...packages];
}

/** Whether the guest is to wait for the host: not where there is nothing to install, or nobody to have it. */
function isToKeep(deps: VmDeps, vm: VmRecord): boolean {
  const { mode, provisioned } = vm.spec;
  // What a later boot installs would have its user's own changes beside it.
  const isFirstBoot = vm.startedAt === undefined;
  if (mode !== "systemd" || provisioned || !isFirstBoot) return false;
  return deps.images.provisioned.isWanted(vm.imageId);
}

/** Never rejects: a machine whose installation could not be kept is as good as any. */
export async function keepInstalled(
  deps: VmDeps,
  vm: VmRecord,
  options: {
    link: MachineLink;
    agent: Agent;
    signal?: AbortSignal | undefined;
    onProgress?: OnProgress | undefined;
  },
): Promise<void> {
  const { link, agent, signal, onProgress } = options;
  try {
    // Somebody who was inside meanwhile may have left something.
    if (isToKeep(deps, vm) && !link.isVisited) await keep(deps, vm, options);
  } catch (error) {
    const message = `Cannot save the installed packages for other machines: ${messageOf(error)}`;
    log.warn("{name}: {message}", { name: vm.name, message });
    onProgress?.(warningProgress(message));
  }
  await agent
    .run(GO_ON, { signal })
    .catch((error) =>
      log.warn("{name}: cannot go on: {message}", { name: vm.name, message: messageOf(error) }),
    );
}

async function keep(
  deps: VmDeps,
  vm: VmRecord,
  options: { agent: Agent; signal?: AbortSignal | undefined; onProgress?: OnProgress | undefined },
): Promise<void> {
  const { agent, signal, onProgress } = options;
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(), SILENCE_MAX_MS);
  const either = signal ? AbortSignal.any([signal, silence.signal]) : silence.signal;
  try {
    const tar = await agent.files.readTar(LAYER, { name: ".", signal: either });
    const layer = await deps.images.provisioned.keep(vm.imageId, {
      tar: heard(tar, () => timer.refresh()),
      signal: either,
      onProgress,
    });
    if (!layer) return;
    log.info("{name}: what was installed is kept as {id}", { name: vm.name, id: layer.id });
    deps.nextTemplates?.begin(vm, layer.id);
  } finally {
    clearTimeout(timer);
  }
}

async function* heard(
  chunks: AsyncIterable<Uint8Array>,
  onChunk: () => void,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    onChunk();
    yield chunk;
  }
}
