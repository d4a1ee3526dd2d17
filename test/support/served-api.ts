/** The API on TCP in front of machines that are made up: the real server, gate, tokens and router. */
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Mount } from "#api/serve/mount.ts";
import type { Vm } from "#api/vm.ts";
import { aborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import type { Services } from "#daemon/compose.ts";
import { makeRouter } from "#daemon/handlers/router.ts";
import { CallCounts } from "#daemon/metrics.ts";
import { listen } from "#daemon/serve/listener.ts";
import { Listeners, type ListenOptions } from "#daemon/serve/listeners.ts";
import { PortDoor, type TrafficCaller } from "#daemon/serve/port-door.ts";
import { Routes } from "#daemon/serve/routes.ts";
import { Tokens } from "#daemon/serve/tokens.ts";
import { WebUi } from "#daemon/ui/ui.ts";
import { openStore } from "#store/db.ts";

/** Stands for every domain that a test does not need: it can be named, and using it throws. */
export function unused(real: object = {}): never {
  return new Proxy(() => {}, {
    get(_, key) {
      if (Object.hasOwn(real, key)) return Reflect.get(real, key);
      return typeof key === "symbol" || key === "then" ? undefined : unused();
    },
    apply() {
      throw new Error("reached");
    },
  }) as never;
}

export interface ServedApi extends AsyncDisposable {
  url: string;
  port: number;
  tokens: Tokens;
  ui: WebUi;
  folder: string;
  vms: Map<string, Vm>;
  /** Ports of this host that stand for ports in machines: "name:port". */
  guests: Map<string, number>;
  listeners: Listeners;
}

interface ServedOptions extends Partial<ListenOptions> {
  mounts?: Mount[];
  trafficCaller?: TrafficCaller;
  values?: Partial<Services["config"]["values"]>;
}

export async function startServedApi(options: ServedOptions = {}): Promise<ServedApi> {
  const folder = mkdtempSync(join(tmpdir(), "banger-served-"));
  const db = openStore(join(folder, "banger.db"));
  const tokens = new Tokens(db);
  const vms = new Map<string, Vm>();
  const guests = new Map<string, number>();
  const find = (ref: string): Vm => {
    const vm = [...vms.values()].find(({ id, name }) => id === ref || name === ref);
    if (vm) return vm;
    throw new BangerError("not_found", `there is no ${ref}`);
  };
  const listeners = new Listeners(
    {
      "serve.listen": "",
      "serve.tls_cert": "",
      "serve.tls_key": "",
      "serve.hosts": [],
      ...options.values,
    },
    tokens,
  );
  const ui = new WebUi(join(folder, "web-ui.json"), listeners);
  const services: Services = unused({
    tokens,
    listeners,
    ui,
    calls: new CallCounts(),
    vms: unused({
      list: () => [...vms.values()],
      show: find,
      async *events(signal: AbortSignal | undefined) {
        const [id, name] = ["id-box", "box"];
        yield { at: new Date().toISOString(), id, name, state: "running" };
        if (signal) await aborted(signal);
      },
      guests: {
        async connect(ref: string, { port }: { port: number }) {
          const at = guests.get(`${find(ref).name}:${port}`);
          if (at === undefined) throw new BangerError("unavailable", "connection refused");
          const socket = connect({ port: at, host: "127.0.0.1", allowHalfOpen: true });
          await new Promise((resolve) => socket.once("connect", resolve));
          return socket;
        },
      },
    }),
  });
  const router = makeRouter(services);
  const api = { services, router, mounts: options.mounts ?? [] };
  const served = {
    ...api,
    routes: new Routes(api),
    ports: new PortDoor(services, options.trafficCaller ?? (() => undefined)),
    sockets: (number: number) => ({
      http: join(folder, `serve-${number}.sock`),
      ports: join(folder, `serve-${number}-ports.sock`),
    }),
  };
  await listeners.begin((wanted) => listen(served, wanted));
  const listener = await listen(served, {
    address: { hostname: "127.0.0.1", port: 0, isLocal: true },
    hosts: [],
    tls: undefined,
    ...options,
  });
  return {
    url: listener.url,
    port: Number(new URL(listener.url).port),
    tokens,
    ui,
    folder,
    vms,
    guests,
    listeners,
    async [Symbol.asyncDispose]() {
      await listeners.stop();
      await listener[Symbol.asyncDispose]();
      db.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
