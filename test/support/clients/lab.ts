/**
 * Real clients in guests of a NetLab, and real servers at shop.test in its outside. The guests share a resolv.conf and
 * a trust store of their own, in which the authority of their secrets is as the agent puts it there.
 */
import { randomBytes } from "node:crypto";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Decision } from "#api/network.ts";
import { newId } from "#base/id.ts";
import { makeAuthority } from "#egress/intercept/certificates.ts";
import { attach } from "#test/net-calls.ts";
import { type NetDaemon, NetLab, OUTSIDE } from "#test/net-lab.ts";
import { startRootedAgent } from "#test/rooted-agent.ts";
import { trustEnvironment, trustInGuest } from "#vm/secrets/trust.ts";

const GATEWAY = "10.241.0.1";
const RESOLVER_PORT = 5300;
const EVIL = "198.51.100.4";
const SITE = new URL("./site.ts", import.meta.url).pathname;
export const PLACEHOLDER = "banger_0123456789abcdef0123456789abcdef";
export const HOST = "shop.test";

/** "secret": its connections to shop.test are intercepted. "plain": they are passed. "none": it may not go there. */
export const GUESTS = ["secret", "plain", "none"] as const;
export type Guest = (typeof GUESTS)[number];

export interface Ran {
  status: number;
  output: string;
}

export class ClientsLab implements AsyncDisposable {
  readonly value = `value-${randomBytes(12).toString("hex")}`;
  /** Of the server's files. */
  readonly site: string;
  readonly #folder = mkdtempSync(join(tmpdir(), "banger-clients-"));
  readonly #root = join(this.#folder, "root");
  #lab: NetLab | undefined;
  #daemon: NetDaemon | undefined;

  private constructor() {
    this.site = join(this.#folder, "site");
    mkdirSync(this.site);
    // apt drops root, and reads what it trusts afterwards.
    chmodSync(this.#folder, 0o755);
  }

  /** `prepare` fills the site before it is served. */
  static async create(prepare: (site: string) => Promise<void>): Promise<ClientsLab> {
    const made = new ClientsLab();
    try {
      await prepare(made.site);
      await made.#start();
      return made;
    } catch (error) {
      await made[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #start(): Promise<void> {
    this.#lab = await NetLab.create();
    const lab = this.#lab;
    const world = await makeAuthority(randomBytes(32), "the world");
    const path = (name: string) => join(this.#folder, name);
    const { cert, key } = await world.leaf(HOST);
    for (const [name, text] of Object.entries({ cert, key, roots: world.certificate })) {
      writeFileSync(path(`${name}.pem`), text);
    }
    await lab.ip("outside", `addr add ${EVIL}/24 dev eth0`);
    const words = [this.site, path("cert.pem"), path("key.pem"), this.value];
    await lab.serve("outside", [process.execPath, SITE, ...words]);
    await lab.resolver(RESOLVER_PORT);
    const dns = { resolvers: [{ address: OUTSIDE, port: RESOLVER_PORT }] };
    const value = this.value;
    const secret = { hosts: [HOST], placeholder: PLACEHOLDER, value, roots: path("roots.pem") };
    const daemon = lab.daemon({ dns, secret });
    this.#daemon = daemon;
    for (const guest of GUESTS) {
      const allow = guest === "none" ? ["api.shop.test"] : [HOST];
      const request = { allow, ...(guest === "secret" ? { secretHosts: [HOST] } : {}) };
      await lab.plug(guest, await attach(daemon, newId(), request));
    }
    const certificate = await daemon.call<string>({ op: "certificate" });
    await this.#makeRoot(world.certificate, certificate);
  }

  /** The guests' trust store: the server's own authority, and that of the secrets by the agent. */
  async #makeRoot(world: string, certificate: string): Promise<void> {
    const root = this.#root;
    const certs = join(root, "etc/ssl/certs");
    mkdirSync(certs, { recursive: true });
    mkdirSync(join(root, "etc/banger"));
    writeFileSync(join(root, "etc/debian_version"), "12\n");
    writeFileSync(join(root, "etc/resolv.conf"), `nameserver ${GATEWAY}\n`);
    writeFileSync(join(certs, "ca-certificates.crt"), world);
    cpSync("/etc/ssl/openssl.cnf", join(root, "etc/ssl/openssl.cnf"));
    await using rooted = await startRootedAgent(root);
    await trustInGuest(rooted.agent, { certificate, roots: () => "" });
  }

  /** Runs a script in a guest, with the variables of a machine with secrets. Output and errors together. */
  async run(guest: Guest, script: string, env: Record<string, string> = {}): Promise<Ran> {
    if (!this.#lab) throw new Error("the lab has not started");
    const home = mkdtempSync(join(this.#folder, "home-"));
    chmodSync(home, 0o755);
    const etc = join(this.#root, "etc");
    const mounts = [
      `mount --bind ${etc}/ssl /etc/ssl`,
      `mount --bind ${etc}/resolv.conf "$(readlink -f /etc/resolv.conf)"`,
    ];
    const inside = `${mounts.join(" && ")} && cd ${home} && exec bash -c "$1"`;
    const trust = Object.entries(trustEnvironment).map(([name, path]) => [
      name,
      `${this.#root}${path}`,
    ]);
    const variables = {
      ...Object.fromEntries(trust),
      HOME: home,
      PATH: process.env["PATH"] ?? "",
      LANG: "C.UTF-8",
      // Node has roots of its own, without the server's.
      ...(guest === "secret" ? {} : { NODE_EXTRA_CA_CERTS: join(this.#folder, "roots.pem") }),
      TOKEN: guest === "secret" ? PLACEHOLDER : this.value,
      GIT_TERMINAL_PROMPT: "0",
      ...env,
    };
    const words = Object.entries(variables).map(([name, text]) => `${name}=${text}`);
    const argv = ["env", "-i", ...words, "unshare", "--mount", "sh", "-c", inside, "sh"];
    const marked = `{ ${script}\n} 2>&1; echo "status $?"`;
    const text = await this.#lab.run(guest, [...argv, marked]);
    const [, output = "", status = ""] = /^([\s\S]*)status (\d+)\n$/.exec(text) ?? [];
    return { status: Number(status), output };
  }

  /** Since the last call: verdicts on connections, with the secret or the reason. */
  async decisions(): Promise<string[]> {
    const all = (await this.#daemon?.call<Decision[]>({ op: "decisions" })) ?? [];
    return all
      .filter(({ protocol }) => protocol !== "dns")
      .map(({ verdict, reason, secret }) => [verdict, secret ?? reason].join(" "));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lab?.[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
