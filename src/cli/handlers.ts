/** The handler of each command, loaded only when the command runs. */
import type { Handler } from "./context.ts";
import type { root } from "./spec/root.ts";
import type { CommandSpec, GroupSpec, Node } from "./spec/types.ts";

type Loader<C extends CommandSpec> = () => Promise<{ run: Handler<C> }>;
/** A command without a handler, and a handler that takes another input, are compile errors. */
type Handlers<N extends Node> =
  N extends GroupSpec<infer C>
    ? { [K in keyof C]: Handlers<C[K]> }
    : N extends CommandSpec
      ? Loader<N>
      : never;

export const handlers: Handlers<typeof root> = {
  vm: {
    create: () => import("./handlers/vm/create.ts"),
    run: () => import("./handlers/vm/run.ts"),
    start: () => import("./handlers/vm/start.ts"),
    stop: () => import("./handlers/vm/stop.ts"),
    restart: () => import("./handlers/vm/restart.ts"),
    pause: () => import("./handlers/vm/sleep/pause.ts"),
    resume: () => import("./handlers/vm/sleep/resume.ts"),
    suspend: () => import("./handlers/vm/sleep/suspend.ts"),
    kill: () => import("./handlers/vm/kill.ts"),
    rm: () => import("./handlers/vm/rm.ts"),
    prune: () => import("./handlers/vm/prune.ts"),
    list: () => import("./handlers/vm/list.ts"),
    show: () => import("./handlers/vm/show.ts"),
    exec: () => import("./handlers/vm/exec.ts"),
    ssh: () => import("./handlers/vm/ssh.ts"),
    port: {
      list: () => import("./handlers/vm/port/list.ts"),
      add: () => import("./handlers/vm/port/add.ts"),
      rm: () => import("./handlers/vm/port/rm.ts"),
    },
    policy: {
      show: () => import("./handlers/vm/policy/show.ts"),
      set: () => import("./handlers/vm/policy/set.ts"),
      allow: () => import("./handlers/vm/policy/allow.ts"),
      rm: () => import("./handlers/vm/policy/rm.ts"),
      deny: () => import("./handlers/vm/policy/deny.ts"),
      log: () => import("./handlers/vm/policy/log.ts"),
    },
    workspace: {
      import: () => import("./handlers/vm/workspace/import.ts"),
      status: () => import("./handlers/vm/workspace/status.ts"),
      diff: () => import("./handlers/vm/workspace/diff.ts"),
      checkpoint: () => import("./handlers/vm/workspace/checkpoint.ts"),
      log: () => import("./handlers/vm/workspace/log.ts"),
      restore: () => import("./handlers/vm/workspace/restore.ts"),
      fetch: () => import("./handlers/vm/workspace/fetch.ts"),
      apply: () => import("./handlers/vm/workspace/apply.ts"),
      export: () => import("./handlers/vm/workspace/export.ts"),
    },
    session: {
      start: () => import("./handlers/vm/session/start.ts"),
      list: () => import("./handlers/vm/session/list.ts"),
      show: () => import("./handlers/vm/session/show.ts"),
      logs: () => import("./handlers/vm/session/logs.ts"),
      attach: () => import("./handlers/vm/session/attach.ts"),
      send: () => import("./handlers/vm/session/send.ts"),
      signal: () => import("./handlers/vm/session/signal.ts"),
      kill: () => import("./handlers/vm/session/kill.ts"),
      wait: () => import("./handlers/vm/session/wait.ts"),
      rm: () => import("./handlers/vm/session/rm.ts"),
    },
    snapshot: {
      create: () => import("./handlers/vm/snapshot/create.ts"),
      list: () => import("./handlers/vm/snapshot/list.ts"),
      show: () => import("./handlers/vm/snapshot/show.ts"),
      rm: () => import("./handlers/vm/snapshot/rm.ts"),
      export: () => import("./handlers/vm/snapshot/export.ts"),
      import: () => import("./handlers/vm/snapshot/import.ts"),
    },
    restore: () => import("./handlers/vm/restore.ts"),
    fork: () => import("./handlers/vm/fork.ts"),
    ports: () => import("./handlers/vm/ports.ts"),
    forward: () => import("./handlers/vm/forward.ts"),
    health: () => import("./handlers/vm/health.ts"),
    stats: () => import("./handlers/vm/stats.ts"),
    top: () => import("./handlers/vm/top.ts"),
    cp: () => import("./handlers/vm/cp.ts"),
    file: {
      list: () => import("./handlers/vm/file/list.ts"),
      cat: () => import("#cli/handlers/vm/file/cat.ts"),
      mkdir: () => import("#cli/handlers/vm/file/mkdir.ts"),
      rm: () => import("./handlers/vm/file/rm.ts"),
      stat: () => import("#cli/handlers/vm/file/stat.ts"),
      watch: () => import("#cli/handlers/vm/file/watch.ts"),
    },
    cat: () => import("#cli/handlers/vm/file/cat.ts"),
    mkdir: () => import("#cli/handlers/vm/file/mkdir.ts"),
    stat: () => import("#cli/handlers/vm/file/stat.ts"),
    watch: () => import("#cli/handlers/vm/file/watch.ts"),
    set: () => import("./handlers/vm/set.ts"),
    rename: () => import("./handlers/vm/rename.ts"),
    clone: () => import("./handlers/vm/clone.ts"),
    logs: () => import("./handlers/vm/logs.ts"),
    wait: () => import("./handlers/vm/wait.ts"),
  },
  image: {
    pull: () => import("./handlers/image/pull.ts"),
    build: () => import("./handlers/image/build.ts"),
    bootstrap: () => import("./handlers/image/bootstrap.ts"),
    list: () => import("./handlers/image/list.ts"),
    show: () => import("./handlers/image/show.ts"),
    provision: () => import("./handlers/image/provision.ts"),
    rm: () => import("./handlers/image/rm.ts"),
    history: () => import("./handlers/image/history.ts"),
    tag: () => import("./handlers/image/tag.ts"),
    register: () => import("./handlers/image/register.ts"),
    promote: () => import("./handlers/image/promote.ts"),
    outdated: () => import("./handlers/image/outdated.ts"),
    update: () => import("./handlers/image/update.ts"),
    push: () => import("./handlers/image/push.ts"),
    save: () => import("./handlers/image/save.ts"),
    du: () => import("./handlers/image/du.ts"),
    gc: () => import("./handlers/image/gc.ts"),
  },
  kernel: {
    list: () => import("./handlers/kernel/list.ts"),
    show: () => import("./handlers/kernel/show.ts"),
    pull: () => import("./handlers/kernel/pull.ts"),
    import: () => import("./handlers/kernel/import.ts"),
    rm: () => import("./handlers/kernel/rm.ts"),
    build: () => import("./handlers/kernel/build.ts"),
    default: () => import("./handlers/kernel/default.ts"),
    publish: () => import("./handlers/kernel/publish.ts"),
    unpublish: () => import("./handlers/kernel/unpublish.ts"),
    catalog: {
      list: () => import("./handlers/kernel/catalog/list.ts"),
      add: () => import("./handlers/kernel/catalog/add.ts"),
      rm: () => import("./handlers/kernel/catalog/rm.ts"),
      update: () => import("./handlers/kernel/catalog/update.ts"),
      schema: () => import("./handlers/kernel/catalog/schema.ts"),
      keygen: () => import("./handlers/kernel/catalog/keygen.ts"),
      sign: () => import("./handlers/kernel/catalog/sign.ts"),
    },
  },
  network: {
    create: () => import("./handlers/network/create.ts"),
    list: () => import("./handlers/network/list.ts"),
    show: () => import("./handlers/network/show.ts"),
    rm: () => import("./handlers/network/rm.ts"),
    connect: () => import("./handlers/network/connect.ts"),
    disconnect: () => import("./handlers/network/disconnect.ts"),
  },
  tooling: { plan: () => import("./handlers/tooling/plan.ts") },
  policy: {
    list: () => import("./handlers/policy/list.ts"),
  },
  volume: {
    create: () => import("./handlers/volume/create.ts"),
    list: () => import("./handlers/volume/list.ts"),
    show: () => import("./handlers/volume/show.ts"),
    rm: () => import("./handlers/volume/rm.ts"),
    prune: () => import("./handlers/volume/prune.ts"),
  },
  daemon: {
    start: () => import("./handlers/daemon/start.ts"),
    stop: () => import("./handlers/daemon/stop.ts"),
    restart: () => import("./handlers/daemon/restart.ts"),
    status: () => import("./handlers/daemon/status.ts"),
    logs: () => import("./handlers/daemon/logs.ts"),
    enable: () => import("./handlers/daemon/enable.ts"),
    disable: () => import("./handlers/daemon/disable.ts"),
    run: () => import("./handlers/daemon/run.ts"),
  },
  ui: () => import("./handlers/ui.ts"),
  serve: () => import("./handlers/serve.ts"),
  token: {
    create: () => import("./handlers/token/create.ts"),
    list: () => import("./handlers/token/list.ts"),
    rm: () => import("./handlers/token/rm.ts"),
  },
  mcp: () => import("./handlers/mcp.ts"),
  secret: {
    set: () => import("./handlers/secret/set.ts"),
    list: () => import("./handlers/secret/list.ts"),
    rm: () => import("./handlers/secret/rm.ts"),
  },
  config: {
    show: () => import("./handlers/config/show.ts"),
    path: () => import("./handlers/config/path.ts"),
  },
  dns: {
    setup: () => import("./handlers/dns/setup.ts"),
  },
  repair: () => import("./handlers/daemon/repair.ts"),
  events: () => import("./handlers/daemon/events.ts"),
  debug: { bundle: () => import("./handlers/daemon/bundle.ts") },
  doctor: () => import("./handlers/doctor.ts"),
  setup: () => import("./handlers/setup.ts"),
  "ssh-config": () => import("./handlers/ssh-config.ts"),
  "ssh-proxy": () => import("./handlers/ssh-proxy.ts"),
  "network-helper": () => import("./handlers/network-helper.ts"),
  completion: () => import("./handlers/completion.ts"),
  complete: () => import("./handlers/complete.ts"),
  version: () => import("./handlers/version.ts"),
};

/** The loader of the command at `path`, whose input the parser has made after its description. */
export function loaderOf(path: readonly string[]): Loader<CommandSpec> {
  let found: unknown = handlers;
  for (const name of path) found = Reflect.get(Object(found), name);
  return found as Loader<CommandSpec>;
}
