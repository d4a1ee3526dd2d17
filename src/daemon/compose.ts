/** The composition root: builds every part once and passes it its dependencies. */
import type { Database } from "bun:sqlite";
import { mkdirSync } from "node:fs";
import { getLogger } from "@logtape/logtape";
import type { DaemonVersion } from "#api/exec-constants.ts";
import { sha256 } from "#base/digest.ts";
import { selfCommand } from "#base/self-command.ts";
import { version } from "#base/version.ts";
import { BuildCache } from "#builds/cache.ts";
import { buildMachines } from "#builds/run/build-machine.ts";
import { BuildService } from "#builds/service.ts";
import type { Roots } from "#config/paths.ts";
import { type Config, dockerConfigPath } from "#config/resolve.ts";
import { ensureSshKey } from "#config/ssh-key.ts";
import type { Interceptor } from "#egress/intercept/interceptor.ts";
import { EgressProxy } from "#egress/proxy.ts";
import { takeOver } from "#egress/remote.ts";
import { resolverBy } from "#egress/resolve.ts";
import type { SecretKeeper } from "#egress/secrets/keeper.ts";
import { readFirstBoot } from "#guest/embedded.ts";
import { createDrivers } from "#host/drivers.ts";
import { ImageService } from "#images/service.ts";
import { ImageStore } from "#images/store.ts";
import { parseConfiguredCatalogs } from "#kernels/catalogs/configured.ts";
import { readKernelImage } from "#kernels/image.ts";
import { KernelService } from "#kernels/service.ts";
import { DnsServer } from "#net/dns/server.ts";
import { askUpstream } from "#net/dns/upstream.ts";
import { Network } from "#net/network.ts";
import { Networks } from "#net/networks.ts";
import { DecisionLog } from "#net/policy/decisions.ts";
import { Policies } from "#net/policy/policies.ts";
import { daemonResolvers } from "#net/resolvers.ts";
import { RootlessNetwork } from "#net/rootless/network.ts";
import { parseMirrors } from "#oci/registry/mirrors.ts";
import { Snapshots } from "#snapshots/snapshots.ts";
import { Templates } from "#snapshots/templates.ts";
import { openStore } from "#store/db.ts";
import { VmFiles } from "#vm/files/service.ts";
import { Inside } from "#vm/inside.ts";
import type { Owner } from "#vm/life/owner.ts";
import { machineNames } from "#vm/network/resolve-names.ts";
import { hasWork } from "#vm/records.ts";
import { VmService } from "#vm/service.ts";
import type { Sessions } from "#vm/sessions/sessions.ts";
import type { VmSnapshots } from "#vm/snapshots/service.ts";
import { Volumes } from "#vm/volumes/volumes.ts";
import { openCgroups } from "#vmm/cgroup.ts";
import { composeSecrets } from "./compose-secrets.ts";
import { CallCounts } from "./metrics.ts";
import { Listeners } from "./serve/listeners.ts";
import { Tokens } from "./serve/tokens.ts";
import { WebUi } from "./ui/ui.ts";
import { UsageRecorder } from "./ui/usage.ts";

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
  network: Networks;
  secrets: SecretKeeper;
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
  const kernels = new KernelService({
    dir: paths.kernels,
    downloads: paths.downloads,
    builds: paths.kernelBuilds,
    config: paths.kernelChoices,
    catalogs: values["kernel.catalogs"],
  });
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
  const network = composeNetwork(config, { db, isAlone: owner !== undefined });
  const templates = openTemplates(config);
  const { keeper } = composeSecrets(config, db);
  const vms = new VmService({
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
    inside: new Inside(vms, (id) => paths.vm(id).disk),
    network,
    secrets: keeper,
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
): Pick<Services, "listeners" | "ui" | "usage"> {
  const listeners = new Listeners(values, tokens);
  const ui = new WebUi(paths.webUi, listeners);
  const usage = new UsageRecorder({
    list: () => vms.list(),
    diskOf: (id) => paths.vm(id).disk,
    isWanted: () => ui.sessions.isAny,
  });
  return { listeners, ui, usage };
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

function openTemplates({ paths, values }: Config): Templates | undefined {
  if (values["vm.templates"] === "off") return undefined;
  return new Templates(paths.templates, values["vm.templates_max"]);
}

interface NetworkNeed {
  db: Database;
  /** For one machine, whose process ends with it. */
  isAlone: boolean;
  interceptor?: Interceptor | undefined;
}

function composeNetwork(
  { values, paths }: Config,
  { db, isAlone, interceptor }: NetworkNeed,
): Networks {
  const decisions = new DecisionLog();
  const policies = new Policies(values["network.bridge"], { decisions: decisions.add });
  const resolvers = () => daemonResolvers((address) => dns.serves(address));
  const dns: DnsServer = new DnsServer({ names: machineNames(db), filter: policies, resolvers });
  const ask = () => Promise.resolve(false);
  const resolve = resolverBy(askUpstream, resolvers);
  const shared = {
    bridge: values["network.bridge"],
    subnet: values["network.subnet"],
    subnet6: values["network.subnet6"],
  };
  // A server that ends with a machine is of no use to the others on its bridge.
  const host = isAlone
    ? new Network({ ...shared, policies })
    : new Network({
        ...shared,
        dns,
        policies,
        proxy: new EgressProxy({ policies, interceptor, ask, resolve }),
      });
  const isRoot = process.getuid?.() === 0;
  const handedOver = interceptor && !isRoot && !isAlone ? paths.egressSocket : undefined;
  if (interceptor && handedOver) takeOver(handedOver, { interceptor, record: decisions.add });
  const rootless = isRoot
    ? undefined
    : new RootlessNetwork({
        ...shared,
        database: isAlone ? undefined : paths.database,
        recordPath: paths.networkNamespace,
        interceptor: handedOver,
        decisions: decisions.add,
        askUser: ask,
        program: [...selfCommand(), "network-helper"],
      });
  return new Networks({ host, rootless, decisions });
}

function openLimits(wanted: string): string | undefined {
  const cgroups = wanted === "off" ? { obstacle: "vm.limits is off" } : openCgroups();
  if ("path" in cgroups) return cgroups.path;
  log.info("machines have no control groups: {obstacle}", cgroups);
  return undefined;
}
