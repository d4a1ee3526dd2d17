/**
 * Every name that banger has on disk, once. docs/home.md describes each of them.
 * Nothing else in the project joins a path below these roots by itself.
 */
import { dirname, isAbsolute, join } from "node:path";
import { BangerError } from "#base/error.ts";

export interface Roots {
  config: string;
  state: string;
  cache: string;
  runtime: string;
}

/**
 * XDG directories, each with "banger" appended; as their specification has it, one that is not absolute counts as
 * not set. `invalid_argument` for such a home: the daemon has a different working directory. Without XDG_RUNTIME_DIR sockets live
 * below the state directory.
 */
export function resolveRoots(env: Record<string, string | undefined>, home: string): Roots {
  if (!isAbsolute(home)) {
    throw new BangerError("invalid_argument", `invalid HOME "${home}": not an absolute path`, {
      hint: "Set HOME to the path of your home directory",
    });
  }
  const given = (name: string): string | undefined => {
    const value = env[name];
    return value && isAbsolute(value) ? value : undefined;
  };
  const state = join(given("XDG_STATE_HOME") ?? join(home, ".local/state"), "banger");
  const runtime = given("XDG_RUNTIME_DIR");
  return {
    config: join(given("XDG_CONFIG_HOME") ?? join(home, ".config"), "banger"),
    state,
    cache: join(given("XDG_CACHE_HOME") ?? join(home, ".cache"), "banger"),
    runtime: runtime ? join(runtime, "banger") : join(state, "run"),
  };
}

export type Paths = ReturnType<typeof makePaths>;

export function makePaths(roots: Roots) {
  return {
    roots,
    configFile: join(roots.config, "config.toml"),
    imageCatalog: join(roots.config, "images.json"),
    /** Secrets of the user's, for machines. */
    keyring: join(roots.config, "secrets.json"),
    /** What the user has answered for good about destinations of machines. */
    policyAnswers: join(roots.config, "policy-answers.json"),
    kernelChoices: join(roots.config, "kernels"),
    /** Of systemd, which reads a user's units beside banger's folder. */
    userUnits: join(dirname(roots.config), "systemd", "user"),
    sshKey: join(roots.config, "ssh", "id_ed25519"),
    sshConfig: join(roots.config, "ssh", "config"),
    knownHosts: join(roots.state, "ssh", "known_hosts"),
    /** What `vm ssh` has ssh read: the user's configuration, and what holds where that says nothing. */
    sshDefaults: join(roots.state, "ssh", "config"),
    database: join(roots.state, "banger.db"),
    /** Of access tokens for the sandboxes of E2B's clients. */
    e2bKey: join(roots.state, "e2b.key"),
    /** Hashes of the sessions of browsers, and the port that they use. */
    webUi: join(roots.state, "web-ui.json"),
    /** What the placeholders and certificates of machines with secrets are derived from. */
    egressKey: join(roots.state, "egress.key"),
    daemonLog: join(roots.state, "daemon.log"),
    /** Names the processes of an ordinary user's network namespace. */
    networkNamespace: join(roots.state, "network-namespace.json"),
    kernels: join(roots.state, "kernels"),
    images: join(roots.state, "images"),
    vms: join(roots.state, "vms"),
    /** Of machines, by the names that the user gave them. */
    snapshots: join(roots.state, "snapshots"),
    ...volumePaths(roots),
    /** What was imported into machines, by their IDs: written by the CLI. */
    workspaces: join(roots.state, "workspaces"),
    blobs: join(roots.cache, "blobs"),
    downloads: join(roots.cache, "downloads"),
    kernelBuilds: join(roots.cache, "kernel-builds"),
    /** What new machines are restored from. */
    templates: join(roots.cache, "templates"),
    /** Files that clients of E2B have sent for builds of templates. */
    e2bFiles: join(roots.cache, "e2b-files"),
    /** Layers of image builds, by what made them. */
    builds: join(roots.cache, "builds"),
    socket: join(roots.runtime, "daemon.sock"),
    /** A page that leads a browser to the web UI and logs it in. */
    uiLogin: join(roots.runtime, "ui.html"),
    /** Where the proxy in a user's network namespace hands over connections to hosts of secrets. */
    egressSocket: join(roots.runtime, "egress.sock"),
    /** Beside the state, since it is the state that only one daemon may touch. */
    daemonLock: join(roots.state, "daemon.lock"),
    /** Shared by processes that may have something half-made, without the daemon. */
    workLock: join(roots.state, "work.lock"),
    serve: (number: number) => servePaths(roots, number),
    image: (id: string) => imagePaths(roots, id),
    /** `runtime`: where a process with another XDG_RUNTIME_DIR has put its sockets. */
    vm: (id: string, runtime = join(roots.runtime, "vm", id)) =>
      vmPaths(join(roots.state, "vms", id), runtime),
  };
}

function vmPaths(folder: string, runtime: string) {
  return {
    folder,
    disk: join(folder, "disk.ext4"),
    /** The modules of the kernel that it booted: a hard link, so that they stay when the kernel is replaced. */
    modules: join(folder, "modules.ext4"),
    initrd: join(folder, "initrd.img"),
    console: join(folder, "console.log"),
    vmmLog: join(folder, "vmm.log"),
    hostKey: join(folder, "ssh_host_ed25519_key"),
    sessions: join(folder, "sessions"),
    /** Memory and devices, while it is suspended. */
    suspended: join(folder, "suspended"),
    runtime,
    /** Of the process that runs it in the foreground. */
    socket: join(runtime, "front.sock"),
  };
}

function imagePaths({ state }: Roots, id: string) {
  const folder = join(state, "images", id);
  return {
    folder,
    rootfs: join(folder, "rootfs.ext4"),
    kernel: join(folder, "kernel"),
    initrd: join(folder, "initrd.img"),
    modules: join(folder, "modules"),
    workSeed: join(folder, "work-seed.ext4"),
  };
}

function volumePaths({ state }: Roots) {
  const volumes = join(state, "volumes");
  return { volumes, volume: (id: string) => join(volumes, `${id}.ext4`) };
}

/**
 * Sockets behind an address that the API is served at. Beside the state, since the runtime directory goes when its user
 * logs out.
 */
function servePaths({ state }: Roots, number: number) {
  return {
    http: join(state, `serve-${number}.sock`),
    ports: join(state, `serve-${number}-ports.sock`),
  };
}
