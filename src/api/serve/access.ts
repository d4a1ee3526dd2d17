/**
 * Which scope of a token may call which procedure, and what it must own for it. A procedure without an
 * entry is a compile error. src/daemon/serve/authorize.ts enforces it for every way into the daemon.
 */

import type { contract } from "#api/contract.ts";
import type { ExecOpen } from "#api/exec.ts";
import type { VmCreate } from "#api/vm.ts";
import type { TokenScope } from "./caller.ts";

export interface Access {
  scopes: readonly TokenScope[];
  /** No token may, whatever its scope: only the user at the daemon's own socket. */
  isUserOnly?: boolean;
  /** Field of the input that names a machine; for `own` it must be one of its own. */
  machine?: string;
  /** Field of the input that names a snapshot, likewise. */
  snapshot?: string;
  /** Field of the input that names a volume, likewise. */
  volume?: string;
  /** That one is created if it does not exist. */
  createsVolume?: boolean;
  /** It wakes a suspended machine, which `read` must not. */
  wakes?: boolean;
  /** The answer holds what the caller may see, and no more. */
  isFiltered?: boolean;
  /** What else of the input is limited for `own`. */
  limits?: "create" | "image";
}

const full: Access = { scopes: ["full"] };
const user: Access = { scopes: ["full"], isUserOnly: true };
/** What belongs to no machine and is no secret. */
const shared: Access = { scopes: ["full", "own", "read"] };
const filtered: Access = { scopes: ["full", "own", "read"], isFiltered: true };
/** Procedures that cover the machines of all callers. */
const overview: Access = { scopes: ["full", "read"] };

const seen = (machine: string): Access => ({ scopes: ["full", "own", "read"], machine });
const inside = (machine: string): Access => ({ ...seen(machine), wakes: true });
const changed = (machine: string): Access => ({ scopes: ["full", "own"], machine });

type AccessOf<T> = T extends { "~orpc": unknown } ? Access : { [K in keyof T]: AccessOf<T[K]> };

export const access: AccessOf<typeof contract> = {
  system: {
    status: shared,
    shutdown: full,
    repair: full,
    events: filtered,
    debug: full,
    usage: overview,
    doctor: full,
    config: full,
    logs: full,
  },
  kernel: {
    list: shared,
    available: shared,
    show: shared,
    pull: full,
    build: full,
    publish: full,
    unpublish: full,
    default: shared,
    setDefault: full,
    catalog: {
      list: shared,
      add: full,
      remove: full,
      update: full,
      schema: shared,
      keygen: full,
      sign: full,
    },
    import: full,
    remove: full,
  },
  image: {
    list: shared,
    available: shared,
    usage: shared,
    show: shared,
    history: shared,
    pull: { scopes: ["full", "own"], limits: "image" },
    build: full,
    bootstrap: full,
    register: full,
    promote: full,
    tag: full,
    outdated: full,
    update: full,
    push: full,
    save: full,
    provision: full,
    unprovision: full,
    gc: full,
    remove: full,
  },
  network: {
    list: overview,
    create: full,
    show: overview,
    remove: full,
    connect: full,
    disconnect: full,
  },
  policy: {
    profiles: shared,
    questions: full,
    watch: full,
    answer: full,
    answers: full,
    forget: full,
  },
  volume: {
    list: filtered,
    create: { scopes: ["full", "own"] },
    show: { scopes: ["full", "own", "read"], volume: "name" },
    resize: { scopes: ["full", "own"], volume: "name" },
    remove: { scopes: ["full", "own"], volume: "name" },
    prune: full,
  },
  vm: {
    list: filtered,
    show: seen("name"),
    health: inside("name"),
    create: { scopes: ["full", "own"], snapshot: "snapshot", limits: "create" },
    set: { ...changed("name"), limits: "create" },
    rename: changed("name"),
    clone: changed("name"),
    start: changed("name"),
    stop: changed("name"),
    restart: changed("name"),
    pause: changed("name"),
    resume: changed("name"),
    suspend: changed("name"),
    kill: changed("name"),
    remove: changed("name"),
    prune: full,
    wait: seen("name"),
    logs: seen("name"),
    sshIdentity: changed("name"),
    publish: { ...changed("name"), limits: "create" },
    unpublish: changed("name"),
    setPolicy: changed("name"),
    changePolicy: changed("name"),
    policyLog: seen("name"),
    policyEvents: seen("name"),
    restore: { ...changed("name"), snapshot: "snapshot" },
    fork: { ...changed("name"), limits: "create" },
    attachVolume: { ...changed("name"), volume: "volume", createsVolume: true },
    detachVolume: changed("name"),
  },
  snapshot: {
    list: filtered,
    show: { scopes: ["full", "own", "read"], snapshot: "name" },
    create: changed("name"),
    remove: { scopes: ["full", "own"], snapshot: "name" },
    export: full,
    import: full,
  },
  file: {
    stat: inside("name"),
    list: inside("name"),
    read: inside("name"),
    write: changed("name"),
    mkdir: changed("name"),
    remove: changed("name"),
    copyIn: full,
    copyOut: full,
    watch: inside("name"),
  },
  session: {
    list: { ...filtered, machine: "vm" },
    show: seen("vm"),
    start: changed("vm"),
    send: changed("vm"),
    signal: changed("vm"),
    resize: changed("vm"),
    wait: seen("vm"),
    remove: changed("vm"),
  },
  inside: {
    ports: inside("name"),
    stats: inside("name"),
    processes: inside("name"),
  },
  /** They read the imported repository, and any directory of the host. */
  workspace: {
    list: full,
    import: full,
    status: full,
    diff: full,
    export: full,
    checkpoints: full,
    checkpoint: full,
    restore: full,
  },
  token: {
    list: full,
    create: user,
    remove: user,
  },
  secret: {
    list: full,
    set: user,
    remove: user,
  },
  serve: {
    list: full,
    listen: user,
  },
  ui: {
    open: user,
    close: user,
  },
};

/** What each kind of exec stream does, likewise: a new kind without an entry is a compile error. */
export const streamAccess: Record<ExecOpen["kind"], "create" | "change" | "read" | "session"> = {
  run: "create",
  exec: "change",
  connect: "change",
  extract: "change",
  write: "change",
  read: "read",
  archive: "read",
  tree: "read",
  /** Its output is on the host; input to it is a change. */
  session: "session",
};

/**
 * What a token of scope `own` may choose for a machine: nothing that reaches another machine or a file of the host.
 */
export const OWN_MAY_CHOOSE: Record<keyof VmCreate, boolean> = {
  name: true,
  /** Of a registry or in the store: not a path of the host. */
  image: true,
  snapshot: true,
  kernel: true,
  needs: true,
  nested: true,
  mode: true,
  command: true,
  entrypoint: true,
  commandOptions: true,
  cpus: true,
  memory_mib: true,
  disk_bytes: true,
  limits: true,
  network: true,
  monitor: true,
  /** On loopback. */
  ports: true,
  policy: true,
  /** They are the user's. */
  secrets: false,
  sshAgent: false,
  networks: false,
  /** Its own, and new ones. */
  volumes: true,
  shares: false,
  guest: true,
  env: true,
  hostname: true,
  labels: true,
  restart: true,
  ttl_ms: true,
  idleStop_ms: true,
  idleSuspend_ms: true,
  start: true,
};
