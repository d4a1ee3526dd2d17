/**
 * A network to try things in that touches nothing of the host: a namespace that plays the
 * host, one that plays the outside world behind its default route, and one for each guest.
 */
import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import type { NetAnswer, NetCall } from "./net-worker.ts";

/** The host's address towards the outside, as the outside sees masqueraded packets. */
export const HOST_OUTSIDE = "198.51.100.1";
export const OUTSIDE = "198.51.100.2";
export const UPLINK_MTU = 1400;
const PORT = 7777;

/** A TCP server that tells each client its address, and a client that prints what it is told. */
const SERVER = `Bun.listen({ hostname: "0.0.0.0", port: ${PORT},
  socket: { open(s) { s.end(s.remoteAddress); }, data() {} } }); console.log("ready");`;
const CLIENT = `const [host, ms] = process.argv.slice(1);
  setTimeout(() => process.exit(1), Number(ms));
  await Bun.connect({ hostname: host, port: ${PORT}, socket: {
    data(s, d) { console.log(d.toString()); process.exit(0); }, error() {}, connectError() {} } });`;

type Op = NetCall extends infer C ? (C extends NetCall ? Omit<C, "id"> : never) : never;

/** A process with a Network of its own, as a daemon has one. */
export interface NetDaemon {
  call<T>(op: Op): Promise<T>;
  stop(): Promise<void>;
}

export interface DaemonOptions {
  bridge?: string;
  subnet?: string;
  env?: Record<string, string>;
}

export class NetLab implements AsyncDisposable {
  readonly #prefix = `bgrlab${randomBytes(3).toString("hex")}`;
  readonly #namespaces: string[] = [];
  readonly #children: Bun.Subprocess[] = [];

  static async create(): Promise<NetLab> {
    const lab = new NetLab();
    try {
      await lab.#addNamespace("host");
      await lab.#addNamespace("outside");
      await lab.ip(
        "host",
        `link add uplink0 mtu ${UPLINK_MTU} type veth peer name eth0 netns ${lab.netns("outside")}`,
        `addr add ${HOST_OUTSIDE}/24 dev uplink0`,
        // Its IPv6 address would appear while a test compares what was before with what is after.
        "link set dev uplink0 addrgenmode none up",
        `-n ${lab.netns("outside")} addr add ${OUTSIDE}/24 dev eth0`,
        `-n ${lab.netns("outside")} link set dev eth0 up`,
        `route add default via ${OUTSIDE}`,
      );
      await lab.#serve("host");
      await lab.#serve("outside");
      return lab;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  netns(name: string): string {
    return `${this.#prefix}-${name}`;
  }

  /** Runs a program in a namespace; it must succeed. Gives its stdout. */
  async run(name: string, argv: readonly string[]): Promise<string> {
    const child = this.#spawn(name, argv);
    const [stdout, stderr, status] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    if (status === 0) return stdout;
    throw new Error(`${argv.join(" ")}: status ${status}: ${stderr}`);
  }

  async ip(name: string, ...commands: string[]): Promise<void> {
    for (const command of commands) await this.run(name, ["ip", ...command.split(" ")]);
  }

  /** All that attach and detach may touch, as text to compare. */
  async snapshot(): Promise<string> {
    const links = JSON.parse(await this.run("host", ["ip", "-json", "addr"])) as {
      ifname: string;
      addr_info: { local: string }[];
    }[];
    const names = links.map((link) => [link.ifname, link.addr_info.map(({ local }) => local)]);
    const routes = await this.run("host", ["ip", "route", "show", "table", "all"]);
    const rules = await this.run("host", ["nft", "list", "ruleset"]);
    return [JSON.stringify(names), routes, rules].join("\n");
  }

  daemon(options: DaemonOptions = {}): NetDaemon {
    const { bridge = "banger0", subnet = "10.241.0.0/24" } = options;
    const program = new URL("./net-worker.ts", import.meta.url).pathname;
    const child = this.#spawn("host", [process.execPath, program, bridge, subnet], options.env);
    const waiting = new Map<number, PromiseWithResolvers<unknown>>();
    let next = 0;
    createInterface({ input: Readable.fromWeb(child.stdout as never) }).on("line", (line) => {
      const answer = JSON.parse(line) as NetAnswer;
      const entry = waiting.get(answer.id);
      waiting.delete(answer.id);
      if ("error" in answer) entry?.reject(Object.assign(new Error(), answer.error));
      else entry?.resolve(answer.ok);
    });
    void child.exited.then(async () => {
      const error = new Error(`the worker has ended: ${await new Response(child.stderr).text()}`);
      for (const entry of waiting.values()) entry.reject(error);
    });
    return {
      call: async <T>(op: Op) => {
        const id = next++;
        const entry = Promise.withResolvers<unknown>();
        waiting.set(id, entry);
        child.stdin.write(`${JSON.stringify({ id, ...op })}\n`);
        return (await entry.promise) as T;
      },
      stop: async () => {
        child.kill("SIGKILL");
        await child.exited;
      },
    };
  }

  /** Plugs a guest with this network into a tap. It answers on every address that it has. */
  async plug(
    name: string,
    attachment: { tap: string; mac: string; address: string; gateway: string },
  ): Promise<void> {
    await this.#addNamespace(name);
    const cable = new URL("./tap-cable.ts", import.meta.url).pathname;
    const { tap, mac, address, gateway } = attachment;
    const netns = `/run/netns/${this.netns(name)}`;
    await this.#untilReady(this.#spawn("host", [process.execPath, cable, tap, netns, mac]));
    await this.ip(name, `addr add ${address} dev eth0`, `route add default via ${gateway}`);
    await this.#serve(name);
  }

  /** The address under which `from` is seen by the server at `to`, undefined when it gets no answer. */
  async ask(from: string, to: string, timeout_ms = 10_000): Promise<string | undefined> {
    const child = this.#spawn(from, [process.execPath, "-e", CLIENT, to, String(timeout_ms)]);
    const stdout = await new Response(child.stdout).text();
    return (await child.exited) === 0 ? stdout.trim() : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    await Promise.all(this.#children.map((child) => child.exited));
    for (const name of this.#namespaces) Bun.spawnSync(["ip", "netns", "del", name]);
  }

  async #addNamespace(name: string): Promise<void> {
    const { exitCode, stderr } = Bun.spawnSync(["ip", "netns", "add", this.netns(name)]);
    if (exitCode !== 0) throw new Error(stderr.toString());
    this.#namespaces.push(this.netns(name));
    await this.ip(name, "link set dev lo up");
  }

  async #serve(name: string): Promise<void> {
    await this.#untilReady(this.#spawn(name, [process.execPath, "-e", SERVER]));
  }

  #spawn(name: string, argv: readonly string[], env: Record<string, string> = {}) {
    const child = Bun.spawn(["ip", "netns", "exec", this.netns(name), ...argv], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, ...env },
    });
    this.#children.push(child);
    return child;
  }

  async #untilReady(child: Bun.Subprocess<"pipe", "pipe", "pipe">): Promise<void> {
    const reader = child.stdout.getReader();
    const { value } = await reader.read();
    reader.releaseLock();
    if (new TextDecoder().decode(value).startsWith("ready")) return;
    throw new Error(`no answer: ${await new Response(child.stderr).text()}`);
  }
}
