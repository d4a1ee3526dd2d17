/** The composition root: builds every part once and passes it its dependencies. */
import { mkdirSync } from "node:fs";
import { getLogger } from "@logtape/logtape";
import type { DaemonVersion } from "#api/exec-constants.ts";
import { sha256 } from "#base/digest.ts";
import { version } from "#base/version.ts";
import { BuildCache } from "#builds/cache.ts";
import { buildMachines } from "#builds/run/build-machine.ts";
import { BuildService } from "#builds/service.ts";
import type { Roots } from "#config/paths.ts";
import { type Config, dockerConfigPath } from "#config/resolve.ts";
import { ensureSshKey } from "#config/ssh-key.ts";
import type { Always } from "#egress/always.ts";
import type { Questions } from "#egress/questions.ts";
import type { SecretKeeper } from "#egress/secrets/keeper.ts";
import { readFirstBoot } from "#guest/embedded.ts";
import { createDrivers } from "#host/drivers.ts";
import { ImageService } from "#images/service.ts";
import { ImageStore } from "#images/store.ts";
import { parseConfiguredCatalogs } from "#kernels/catalogs/configured.ts";
import { readKernelImage } from "#kernels/image.ts";
import { KernelService } from "#kernels/service.ts";
import { Network } from "#net/network.ts";
import type { Networks } from "#net/networks.ts";
import { parseMirrors } from "#oci/registry/mirrors.ts";
import { Snapshots } from "#snapshots/snapshots.ts";
import { Templates } from "#snapshots/templates.ts";
import { openStore } from "#store/db.ts";
import { VmFiles } from "#vm/files/service.ts";
import { Inside } from "#vm/inside.ts";
import type { Owner } from "#vm/life/owner.ts";
import { hasWork } from "#vm/records.ts";
import { VmService } from "#vm/service.ts";
import type { Sessions } from "#vm/sessions/sessions.ts";
import type { VmSnapshots } from "#vm/snapshots/service.ts";
import { Volumes } from "#vm/volumes/volumes.ts";
import { openCgroups } from "#vmm/cgroup.ts";
import { composeConnections } from "./compose-network.ts";
import { CallCounts } from "./metrics.ts";
import { Listeners } from "./serve/listeners.ts";
import { Tokens } from "./serve/tokens.ts";
import { WebUi } from "./ui/ui.ts";
import { UsageRecorder } from "./ui/usage.ts";
import { Workspaces } from "./workspace/workspaces.ts";

const log = getLogger(["banger", "daemon"]);

export interface Services {
  config: Config;
  kernels: KernelService;
  images: ImageService;
  builds: BuildService;
  templates: Templates | undefined;
  snapshots: VmSnapshots;
  volumes: Volumes;
  vms: VmService;
  files: VmFiles;
  sessions: Sessions;
  inside: Inside;
  workspaces: Workspaces;
  network: Networks;
  secrets: SecretKeeper;
  questions: Questions;
  always: Always;
  tokens: Tokens;
  listeners: Listeners;
  ui: WebUi;
  usage: UsageRecorder;
  /** Undefined for a process in the foreground. */
  daemon: DaemonVersion | undefined;
  startedAt: string;
  calls: CallCounts;
  /** Whether a machine would lack the daemon: for its ports, its names, its restart or its end; or clients the API. */
  isNeeded: () => boolean;
  /** Ends the daemon; machines go on. */
  shutdown: () => void;
}

export interface ComposeOptions {
  shutdown: () => void;
  /** This process, when it is not the daemon. */
  owner?: Owner;
}

/** Throws what `compose` would throw for the sake of the configuration; touches nothing. */
export function assertUsable({ values }: Config): void {
  parseConfiguredCatalogs(values["kernel.catalogs"]);
  parseMirrors(values["registry.mirrors"]);
  void new Network({
    bridge: values["network.bridge"],
    subnet: values["network.subnet"],
    subnet6: values["network.subnet6"],
  });
}

export function compose(config: Config, { shutdown, owner }: ComposeOptions): Services {
  const { paths, values } = config;
  makeRoots(paths.roots);
  const db = openStore(paths.database);
  const kernels = openKernels(config);
  const steps = new BuildCache(paths.builds);
  const snapshots = new Snapshots(paths.snapshots);
  const store = new ImageStore(db, paths, {
    firstBoot: sha256(readFirstBoot()),
    steps,
    snapshotsOf: (imageId) => snapshotsOf(snapshots, imageId),
  });
  const images = new ImageService(store, {
    insecureRegistries: values["registry.insecure"],
    mirrors: parseMirrors(values["registry.mirrors"]),
    dockerConfigPath: dockerConfigPath(),
    // Entries of the catalog can be recipes, and building one takes a machine of another image.
    build: (request, work) => builds.buildRecord(request, work),
    kernels: {
      require: (name) => kernels.require(name),
      async ensure(name, work) {
        const isHere = (await kernels.list()).some((kernel) => kernel.name === name);
        if (!isHere) await kernels.pull(name, work);
      },
      inspect: (path, signal) => readKernelImage(path, signal),
    },
  });
  const isAlone = owner !== undefined;
  const networking = () => vms.networking;
  const connections = composeConnections(config, { db, isAlone, networking });
  const { network } = connections;
  const templates = openTemplates(config);
  const vms: VmService = new VmService({
    db,
    config,
    images,
    kernels,
    network,
    drivers: createDrivers(values),
    templates,
    snapshots,
    volumes: new Volumes({ db, config }),
    owner,
    // Whoever has started a process in the foreground has put it where it wants it.
    cgroups: owner ? undefined : openLimits(values["vm.limits"]),
    sshKey: ensureSshKey(paths.sshKey),
    ...connections.used,
  });
  const tokens = new Tokens(db);
  const served = composeServed(config, { vms, tokens });
  const parts = { store, cache: steps, images, privateHosts: values["build.private_hosts"] };
  const machines = buildMachines(vms, (id) => paths.vm(id).disk);
  const builds: BuildService = new BuildService({ ...parts, machines });
  return {
    config,
    kernels,
    images,
    builds,
    templates,
    snapshots: vms.snapshots,
    volumes: new Volumes({ db, config }),
    vms,
    files: new VmFiles(vms),
    sessions: vms.sessions,
    inside: new Inside(vms, { diskOf: (id) => paths.vm(id).disk, network }),
    network,
    secrets: connections.keeper,
    questions: connections.questions,
    always: connections.always,
    tokens,
    ...served,
    daemon: owner ? undefined : { version: version.version, commit: version.commit },
    startedAt: new Date().toISOString(),
    calls: new CallCounts(),
    isNeeded: () => values["serve.listen"] !== "" || served.ui.sessions.isAny || hasWork(db),
    shutdown,
  };
}

function composeServed(
  { paths, values }: Config,
  { vms, tokens }: Pick<Services, "vms" | "tokens">,
): Pick<Services, "listeners" | "ui" | "usage" | "workspaces"> {
  const listeners = new Listeners(values, tokens);
  const ui = new WebUi(paths.webUi, listeners);
  const usage = new UsageRecorder({
    list: () => vms.list(),
    diskOf: (id) => paths.vm(id).disk,
    isWanted: () => ui.sessions.isAny,
  });
  return { listeners, ui, usage, workspaces: new Workspaces(vms) };
}

function makeRoots({ state, cache, runtime, config }: Roots): void {
  for (const folder of [state, cache, runtime, config]) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }
}

/** Which snapshots need an image, and which of its provisioned layers. */
function snapshotsOf(snapshots: Snapshots, imageId: string) {
  const needing = snapshots.list().filter(({ record }) => record.image.id === imageId);
  return needing.map(({ name, record }) => ({ name, layer: record.spec.provisioned }));
}

function openKernels({ paths, values }: Config): KernelService {
  return new KernelService({
    dir: paths.kernels,
    downloads: paths.downloads,
    builds: paths.kernelBuilds,
    config: paths.kernelChoices,
    catalogs: values["kernel.catalogs"],
  });
}

function openTemplates({ paths, values }: Config): Templates | undefined {
  if (values["vm.templates"] === "off") return undefined;
  return new Templates(paths.templates, values["vm.templates_max"]);
}

function openLimits(wanted: string): string | undefined {
  const cgroups = wanted === "off" ? { obstacle: "vm.limits is off" } : openCgroups();
  if ("path" in cgroups) return cgroups.path;
  log.info("machines have no control groups: {obstacle}", cgroups);
  return undefined;
}
