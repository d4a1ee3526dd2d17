/**
 * A network lab that does not touch the host: a namespace for the host, one for the outside world behind its default
 * route, and one for each guest.
 */
import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import type { Leaf } from "#egress/intercept/certificates.ts";
import type { TapAttachment } from "#net/attachment.ts";
import { endNamespace } from "#net/rootless/namespace.ts";
import { enterCommand } from "#net/rootless/uplink.ts";
import type { NetAnswer, NetCall, WorkerConfig } from "./net-worker.ts";

/** The host's address towards the outside, as the outside sees masqueraded packets. */
export const HOST_OUTSIDE = "198.51.100.1";
export const OUTSIDE = "198.51.100.2";
export const HOST_OUTSIDE6 = "2001:db8:ff::1";
export const OUTSIDE6 = "2001:db8:ff::2";
export const UPLINK_MTU = 1400;
/** An ordinary user, who needs no entry in /etc/passwd. */
export const USER_UID = 12_345;
/** pasta's own, which splits what it sends itself. */
const ROOTLESS_MTU = 65_520;
const PORT = 7777;
const ANSWER_MS = 120_000;

/** A TCP server that tells each client its address, and a client that prints what it is told. */
const SERVER = `for (const host of ["0.0.0.0", "::"]) await new Promise((done) =>
  require("node:net").createServer((s) => { s.on("error", () => {}); s.end(s.remoteAddress); })
    .listen({ host, port: ${PORT}, ipv6Only: true }, done)); console.log("ready");`;
const CLIENT = `const [host, ms] = process.argv.slice(1);
  setTimeout(() => process.exit(1), Number(ms));
  await Bun.connect({ hostname: host, port: ${PORT}, socket: {
    data(s, d) { console.log(d.toString()); process.exit(0); }, close() { process.exit(1); }, error() {}, connectError() {} } });`;

const UDP_SERVER = `const [port] = process.argv.slice(1);
  await Bun.udpSocket({ hostname: "0.0.0.0", port: Number(port), socket: {
    data(s, d, port, from) { s.send("heard " + d, port, from); } } }); console.log("ready");`;
const UDP_CLIENT = `const [hostname, port] = process.argv.slice(1);
  const socket = await Bun.udpSocket({ connect: { hostname, port: Number(port) }, socket: {
    data(s, d) { console.log(d.toString()); process.exit(0); } } }); socket.send("hello");`;

const HTTP_PROGRAM = new URL("./net-http.ts", import.meta.url).pathname;

type Op = NetCall extends infer C ? (C extends NetCall ? Omit<C, "id"> : never) : never;

/** A process with a Network of its own, as a daemon has one. */
export interface NetDaemon {
  call<T>(op: Op): Promise<T>;
  stop(): Promise<void>;
}

export interface DaemonOptions extends Partial<WorkerConfig> {
  env?: Record<string, string>;
  /** A shell command that runs before it, with mounts of its own. */
  before?: string;
  /** Runs as another user without any rights. */
  user_uid?: number;
}

export interface LabOptions {
  uplink6?: boolean;
  rootless?: boolean;
  /** Guests have large frames, as those with virtio-net have. */
  isOffloaded?: boolean;
}

export interface ResolverOptions {
  name?: string;
  address?: string;
  user_uid?: number;
}

/** Without groups and capabilities, as a daemon of an ordinary user is. */
export function asUser(uid: number): string[] {
  return ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "--bounding-set=-all"];
}

function uplink6(outside: string): string[] {
  return [
    `addr add ${HOST_OUTSIDE6}/64 dev uplink0 nodad`,
    // pasta has no IPv6 without one.
    `addr add fe80::1:1/64 dev uplink0 nodad`,
    `-n ${outside} addr add ${OUTSIDE6}/64 dev eth0 nodad`,
    `route add default via ${OUTSIDE6}`,
  ];
}

export class NetLab implements AsyncDisposable {
  readonly #prefix = `bgrlab${randomBytes(3).toString("hex")}`;
  readonly #namespaces: string[] = [];
  readonly #children: Bun.Subprocess[] = [];
  #folder: string | undefined;
  #userFolder: string | undefined;
  #isOffloaded = false;
  #rootless: { path: string; pid: number } | undefined;

  get isRootless(): boolean {
    return this.#rootless !== undefined;
  }

  /** MTU of the host's way out. */
  get mtu(): number {
    return this.#rootless ? ROOTLESS_MTU : UPLINK_MTU;
  }

  /** `uplink6`: the outside is there over IPv6 as well. `rootless`: "host" is an ordinary user's namespace. */
  static async create(options: LabOptions = {}): Promise<NetLab> {
    const lab = new NetLab();
    lab.#isOffloaded = options.isOffloaded ?? false;
    const host = options.rootless ? "computer" : "host";
    try {
      await lab.#addNamespace(host);
      await lab.#addNamespace("outside");
      await lab.ip(
        host,
        `link add uplink0 mtu ${UPLINK_MTU} type veth peer name eth0 netns ${lab.netns("outside")}`,
        `addr add ${HOST_OUTSIDE}/24 dev uplink0`,
        // Its IPv6 address would appear while a test compares what was before with what is after.
        "link set dev uplink0 addrgenmode none up",
        `-n ${lab.netns("outside")} addr add ${OUTSIDE}/24 dev eth0`,
        `-n ${lab.netns("outside")} link set dev eth0 up`,
        `route add default via ${OUTSIDE}`,
        ...(options.uplink6 ? uplink6(lab.netns("outside")) : []),
      );
      if (options.rootless) await lab.#makeRootless(host);
      await lab.#serve("host");
      await lab.#serve("outside");
      return lab;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** As an ordinary user's daemon does it. */
  async #makeRootless(host: string): Promise<void> {
    const program = new URL("./net-namespace.ts", import.meta.url).pathname;
    const path = join(this.userFolder(), "namespace.json");
    this.#rootless = { path, pid: 0 };
    const argv = [...this.withTun(), ...asUser(USER_UID), process.execPath, program, path];
    const pid = Number(await this.run(host, argv));
    this.#rootless.pid = pid;
    const { exitCode, stderr } = Bun.spawnSync([
      ...["ip", "netns", "attach", this.netns("host"), String(pid)],
    ]);
    if (exitCode !== 0) throw new Error(stderr.toString());
    this.#namespaces.push(this.netns("host"));
  }

  /** A directory that belongs to the ordinary user. */
  userFolder(): string {
    this.#userFolder ??= mkdtempSync(join(tmpdir(), "banger-user-"));
    chownSync(this.#userFolder, USER_UID, USER_UID);
    return this.#userFolder;
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
    const names = links.map(({ ifname, addr_info }) => {
      const addresses = addr_info.map(({ local }) => local);
      return [ifname, ifname === "uplink0" ? [] : addresses];
    });
    const routes = await this.run("host", ["ip", "route", "show", "table", "all"]);
    const ruleset = await this.run("host", ["nft", "list", "ruleset"]);
    // Whether a daemon is there to answer is not compared either.
    const rules = ruleset.replace(/(set dns_present \{[^}]*?)\t\telements = .*\n/, "$1");
    // Whether somebody is plugged in is not what is compared, nor whether this computer routes IPv6.
    const kept = routes
      .replaceAll(" linkdown", "")
      .replaceAll(/^(multicast|anycast) .*\n/gm, "")
      // The kernel makes an IPv6 address's own route some time after the address, which is compared.
      .replaceAll(/^local [0-9a-f]*:[0-9a-f:]* dev (?!lo ).*\n/gm, "")
      // pasta's device gives itself an address, some time after it is there.
      .replaceAll(/^.*fe80::.* dev uplink0 .*\n/gm, "");
    return [JSON.stringify(names), kept, rules].join("\n");
  }

  daemon(options: DaemonOptions = {}): NetDaemon {
    const { env, before, user_uid, ...config } = options;
    const whole: WorkerConfig = { bridge: "banger0", subnet: "10.241.0.0/24", ...config };
    const program = new URL("./net-worker.ts", import.meta.url).pathname;
    const inside = this.#rootless && [...asUser(USER_UID), ...enterCommand(this.#rootless.pid)];
    const as = inside ?? (user_uid === undefined ? [] : [...this.withTun(), ...asUser(user_uid)]);
    const prepared = before ? ["sh", "-c", `${before} && exec "$@"`, "sh"] : [];
    const argv = [...prepared, ...as, process.execPath, program, JSON.stringify(whole)];
    const child = this.#spawn("host", argv, env);
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

  /** A resolver, in the outside unless told otherwise; gives the names that it has been asked for. */
  async resolver(
    port: number,
    { name = "outside", address = OUTSIDE, user_uid }: ResolverOptions = {},
  ): Promise<string[]> {
    const program = new URL("./dns-upstream.ts", import.meta.url).pathname;
    const as = user_uid === undefined ? [] : asUser(user_uid);
    const child = this.#spawn(name, [...as, process.execPath, program, address, String(port)]);
    const asked: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    createInterface({ input: Readable.fromWeb(child.stdout as never) }).on("line", (line) => {
      if (line === "ready") resolve();
      else asked.push(line);
    });
    await promise;
    return asked;
  }

  /**
   * Plugs a guest with this network into a tap, which is opened as a user without rights where
   * there is one. It answers on every address that it has.
   */
  async plug(
    name: string,
    attachment: Pick<
      TapAttachment,
      "tap" | "mac" | "address" | "gateway" | "address6" | "gateway6" | "namespacePid"
    >,
    user_uid?: number,
  ): Promise<void> {
    await this.#addNamespace(name);
    const cable = new URL("./tap-cable.ts", import.meta.url).pathname;
    const { tap, mac, address, gateway, address6, gateway6, namespacePid } = attachment;
    const inside = namespacePid === undefined ? [] : ["nsenter", "--net", "-t", `${namespacePid}`];
    const netns = `/run/netns/${this.netns(name)}`;
    const opener = [String(user_uid ?? ""), this.#isOffloaded ? "offload" : "0"];
    const open = user_uid === undefined ? [] : this.withTun();
    const argv = [...open, ...inside, process.execPath, cable, tap, netns, mac, ...opener];
    await this.#untilReady(this.#spawn("host", argv));
    await this.ip(name, `addr add ${address} dev eth0`, `route add default via ${gateway}`);
    if (address6) await this.ip(name, `addr add ${address6} dev eth0 nodad`);
    if (gateway6) await this.ip(name, `route add default via ${gateway6}`);
    await this.#serve(name);
  }

  /** The address under which `from` is seen by the server at `to`, undefined when it gets no answer. */
  async ask(from: string, to: string, timeout_ms = ANSWER_MS): Promise<string | undefined> {
    const child = this.#spawn(from, [process.execPath, "-e", CLIENT, to, String(timeout_ms)]);
    const stdout = await new Response(child.stdout).text();
    return (await child.exited) === 0 ? stdout.trim() : undefined;
  }

  /** Runs what follows where everybody may open /dev/net/tun, as udev has it; this computer's may differ. */
  withTun(): string[] {
    this.#folder ??= mkdtempSync(join(tmpdir(), "banger-tun-"));
    chmodSync(this.#folder, 0o755);
    const node = join(this.#folder, "tun");
    const make = `[ -e ${node} ] || mknod -m 666 ${node} c 10 200`;
    return ["sh", "-c", `${make}; mount --bind ${node} /dev/net/tun && exec "$@"`, "sh"];
  }

  /** Starts a program in a namespace, and waits for the "ready" that it prints. */
  async serve(name: string, argv: readonly string[]): Promise<void> {
    await this.#untilReady(this.#spawn(name, argv));
  }

  /** A UDP server in a namespace that says what it has heard. */
  async serveDatagrams(name: string, port: number): Promise<void> {
    await this.#untilReady(this.#spawn(name, [process.execPath, "-e", UDP_SERVER, String(port)]));
  }

  /** A web server in a namespace; see net-http.ts. */
  async serveHttp(name: string, port: number): Promise<void> {
    await this.#untilReady(
      this.#spawn(name, [process.execPath, HTTP_PROGRAM, "serve", String(port)]),
    );
  }

  /** The same over TLS, with a certificate that nobody has signed, or with a given one. */
  async serveHttps(name: string, port: number, leaf?: Leaf): Promise<void> {
    const [cert = "", key = ""] = ["cert.pem", "key.pem"].map((each) =>
      join(this.userFolder(), `${port}-${each}`),
    );
    if (leaf) {
      writeFileSync(cert, leaf.cert);
      writeFileSync(key, leaf.key);
    } else {
      const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
      const files = ["-nodes", "-subj", "/CN=lab", "-keyout", key, "-out", cert];
      await this.run(name, ["openssl", ...request, ...files]);
    }
    const serve = [HTTP_PROGRAM, "serve", String(port), cert, key];
    await this.#untilReady(this.#spawn(name, [process.execPath, ...serve]));
  }

  /** Fetches slowly; `outcome` is "whole", or "cut" when the rest does not come. `name`: for the Host header. */
  download(from: string, host: string, { port, name }: { port: number; name?: string }) {
    const url = `http://${host}:${port}/slow`;
    const named = name === undefined ? [] : [`${name}:${port}`];
    const child = this.#spawn(from, [process.execPath, HTTP_PROGRAM, "download", url, ...named]);
    const started = Promise.withResolvers<void>();
    const outcome = Promise.withResolvers<string>();
    createInterface({ input: Readable.fromWeb(child.stdout as never) }).on("line", (line) => {
      if (line === "started") started.resolve();
      else outcome.resolve(line);
    });
    return { started: started.promise, outcome: outcome.promise };
  }

  async askDatagram(from: string, to: string, port: number): Promise<string> {
    const argv = [process.execPath, "-e", UDP_CLIENT, to, String(port)];
    return (await this.run(from, argv)).trim();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    await Promise.all(this.#children.map((child) => child.exited));
    for (const name of this.#namespaces) Bun.spawnSync(["ip", "netns", "del", name]);
    if (this.#rootless) await endNamespace(this.#rootless.path);
    for (const folder of [this.#folder, this.#userFolder]) {
      if (folder) rmSync(folder, { recursive: true, force: true });
    }
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
