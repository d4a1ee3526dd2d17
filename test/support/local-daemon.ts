/**
 * A daemon for tests of its clients: the contract's own router on a unix socket, and exec sessions whose commands run
 * on this host instead of in a machine. It enforces the flow control of src/api/exec.ts and records violations.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { implement, ORPCError } from "@orpc/server";
import { RPCHandler } from "@orpc/server/fetch";
import { contract } from "#api/contract.ts";
import { EXEC_PATH, EXEC_PROTOCOL, type ExecOpen } from "#api/exec.ts";
import { VERSION_PATH } from "#api/exec-constants.ts";
import type { Snapshot } from "#api/snapshot.ts";
import type { Vm } from "#api/vm.ts";
import { version } from "#base/version.ts";
import { generateHostKey, type SshKeyPair } from "#config/ssh-key.ts";
import { LocalSession, type SessionData } from "#test/local-exec.ts";
import { startReaper } from "#test/reaper.ts";

export interface LocalDaemon extends AsyncDisposable {
  socket: string;
  /** Everything of it is below, and goes with it. */
  folder: string;
  /** What makes a command line find it, and keeps that to the folder. */
  env: Record<string, string>;
  /** What it says that it is. */
  version: string;
  /** What the procedures were called with, "vm.show testbox". */
  calls: string[];
  /** Exec sessions as they were opened. */
  opened: ExecOpen[];
  /** Bytes of output that were sent and not granted again, at the most. */
  readonly outstandingMax: number;
  /** Breaches of the protocol by the client. */
  violations: string[];
  /** Streams of progress that run now. */
  readonly streams: number;
  /** Exec sessions that are open now. */
  readonly sessions: number;
  hostKey: SshKeyPair;
  authorizedKeys: string[];
  vms: Map<string, Vm>;
  snapshots: Snapshot[];
}

export function makeVm(name: string, state: Vm["state"] = "running"): Vm {
  return {
    id: `id-${name}`,
    name,
    state,
    image: "debian-bookworm",
    kernel: "debian-6.12",
    mode: "systemd",
    cpus: 2,
    memory_mib: 1024,
    disk_bytes: 1024 ** 3,
    network: { mode: "user" },
    createdAt: "2026-11-20T10:00:00.000Z",
  };
}

export async function startLocalDaemon(): Promise<LocalDaemon> {
  const folder = mkdtempSync(join(tmpdir(), "banger-daemon-"));
  // Of what the commands start.
  const reaper = startReaper(folder);
  const env = {
    HOME: folder,
    XDG_RUNTIME_DIR: join(folder, "run"),
    XDG_STATE_HOME: join(folder, "state"),
    XDG_CONFIG_HOME: join(folder, "config"),
    XDG_CACHE_HOME: join(folder, "cache"),
  };
  const socket = join(env.XDG_RUNTIME_DIR, "banger", "daemon.sock");
  mkdirSync(dirname(socket), { recursive: true });
  const state = { streams: 0, sessions: 0, outstandingMax: 0 };
  const daemon = {
    socket,
    folder,
    env,
    version: version.version,
    calls: [] as string[],
    opened: [] as ExecOpen[],
    violations: [] as string[],
    hostKey: generateHostKey("host"),
    authorizedKeys: [] as string[],
    vms: new Map<string, Vm>([["testbox", makeVm("testbox")]]),
    snapshots: [] as Snapshot[],
    get outstandingMax() {
      return state.outstandingMax;
    },
    get streams() {
      return state.streams;
    },
    get sessions() {
      return state.sessions;
    },
    async [Symbol.asyncDispose]() {
      await server.stop(true);
      rmSync(folder, { recursive: true, force: true });
      reaper[Symbol.dispose]();
    },
  };
  const rpc = new RPCHandler(makeRouter(daemon, state));
  const withoutTimeout: object = { idleTimeout: 0 };
  const server = Bun.serve<SessionData>({
    unix: socket,
    ...withoutTimeout,
    async fetch(request, server) {
      const { pathname } = new URL(request.url);
      if (pathname === EXEC_PATH) {
        const headers = { "Sec-WebSocket-Protocol": EXEC_PROTOCOL };
        if (server.upgrade(request, { data: {}, headers })) return undefined;
      }
      if (pathname === VERSION_PATH) {
        return Response.json({ ...version, version: daemon.version });
      }
      const { response } = await rpc.handle(request, { prefix: "/rpc", context: {} });
      return response ?? new Response("no such path", { status: 404 });
    },
    websocket: {
      idleTimeout: 0,
      open(web) {
        state.sessions++;
        web.data.session = new LocalSession(web, daemon, state);
      },
      message(web, message) {
        web.data.session?.receive(message);
      },
      close(web) {
        state.sessions--;
        web.data.session?.close();
      },
    },
  });
  return daemon;
}

type Daemon = Pick<
  LocalDaemon,
  "calls" | "version" | "vms" | "snapshots" | "hostKey" | "authorizedKeys"
>;

function makeRouter(daemon: Daemon, state: { streams: number }) {
  const os = implement(contract);
  const find = (name: string): Vm => {
    const vm = [...daemon.vms.values()].find((each) => each.name === name || each.id === name);
    if (vm) return vm;
    const data = { hint: "List machines with: banger vm list" };
    throw new ORPCError("not_found", { status: 404, message: `Cannot find "${name}"`, data });
  };
  /** Counts up in steps of ten until the client leaves, or to `total`. */
  async function* work<T>(total: number, result: T, signal: AbortSignal | undefined) {
    state.streams++;
    try {
      for (let done = 0; done <= total; done += 10) {
        if (signal?.aborted) return result;
        yield { step: "layer", message: "Downloading layer", done, total, unit: "bytes" as const };
        await Bun.sleep(1);
      }
      return result;
    } finally {
      state.streams--;
    }
  }
  // What no test of a client calls is not part of this daemon.
  return {
    system: {
      status: os.system.status.handler(() => ({
        ...version,
        version: daemon.version,
        pid: process.pid,
        startedAt: "2026-11-20T10:00:00.000Z",
        stateDir: "/nowhere",
        machinesRunning: 1,
        rss_bytes: 1,
      })),
      repair: os.system.repair.handler(() => []),
    },
    kernel: {
      list: os.kernel.list.handler(() => []),
      available: os.kernel.available.handler(() => []),
      pull: os.kernel.pull.handler(({ input, signal }) => {
        daemon.calls.push(`kernel.pull ${input.name}`);
        const kernel = {
          name: input.name,
          distro: "debian",
          arch: "amd64",
          version: "6.12.1",
          digest: "sha256:0",
          source: "test",
          features: [],
          size_bytes: 1,
          importedAt: "2026-11-20T10:00:00.000Z",
          path: "/nowhere",
        };
        return work(input.name === "endless" ? Number.MAX_SAFE_INTEGER : 50, kernel, signal);
      }),
      default: os.kernel.default.handler(() => ({
        name: "debian-6.12",
        origin: "configuration" as const,
      })),
      catalog: {
        list: os.kernel.catalog.list.handler(() => []),
        schema: os.kernel.catalog.schema.handler(() => ({})),
      },
    },
    image: { list: os.image.list.handler(() => []) },
    snapshot: { list: os.snapshot.list.handler(() => daemon.snapshots) },
    session: {
      list: os.session.list.handler(({ input }) => [
        {
          name: "build",
          vm: find(input.vm ?? "testbox").name,
          argv: ["make"],
          terminal: false,
          state: "running" as const,
          startedAt: "2026-11-20T10:00:00.000Z",
          outputStart_bytes: 0,
          outputEnd_bytes: 0,
          lost_bytes: 0,
        },
      ]),
    },
    inside: {
      processes: os.inside.processes.handler(() => []),
    },
    file: {
      list: os.file.list.handler(({ input }) => {
        daemon.calls.push(`file.list ${input.path}`);
        const names = input.path === "/" ? ["etc/", "guest-file"] : ["passwd", "$(touch x)"];
        return names.map((name) => ({
          name: name.replace("/", ""),
          kind: name.endsWith("/") ? ("directory" as const) : ("file" as const),
          mode: 0o644,
          size_bytes: 1,
          uid: 0,
          gid: 0,
          links: 1,
          modifiedAt: "2026-11-20T10:00:00.000Z",
        }));
      }),
    },
    vm: {
      list: os.vm.list.handler(() => [...daemon.vms.values()]),
      show: os.vm.show.handler(({ input }) => {
        daemon.calls.push(`vm.show ${input.name}`);
        return find(input.name);
      }),
      start: os.vm.start.handler(({ input, signal }) => work(20, find(input.name), signal)),
      stop: os.vm.stop.handler(({ input }) => ({ ...find(input.name), state: "stopped" as const })),
      prune: os.vm.prune.handler(() => {
        const stopped = [...daemon.vms.values()].filter(({ state }) => state === "stopped");
        for (const { name } of stopped) daemon.vms.delete(name);
        return stopped.map(({ name }) => name);
      }),
      remove: os.vm.remove.handler(({ input }) => {
        daemon.vms.delete(find(input.name).name);
        return {};
      }),
      logs: os.vm.logs.handler(async function* ({ input, signal }) {
        if (input.name.startsWith("silent")) return;
        yield { text: "one\n" };
        yield { text: "two\n" };
        if (!input.follow) return;
        const left = Promise.withResolvers<void>();
        signal?.addEventListener("abort", () => left.resolve());
        await left.promise;
      }),
      sshIdentity: os.vm.sshIdentity.handler(({ input }) => ({
        name: find(input.name).name,
        hostKey: daemon.hostKey.private,
        authorizedKeys: daemon.authorizedKeys,
      })),
    },
  };
}
