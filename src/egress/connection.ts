/**
 * One TCP connection of a machine at the proxy: what it carries is read as far as its name, judged, and then carried
 * to the address that the machine chose.
 */
import type { Socket } from "node:net";
import type { Decision } from "#api/network.ts";
import { messageOf } from "#base/error.ts";
import type { Address } from "#net/address.ts";
import { mayBeNamed } from "#net/blocks.ts";
import type { ResolvedAddress } from "#net/dns/filter.ts";
import { isPlaceholder } from "#net/policy/placeholders.ts";
import type { ProxiedMachine } from "#net/policy/policies.ts";
import { joinStreams } from "#net/ports/join.ts";
import type { Ask } from "./ask.ts";
import { carryRequests } from "./carry-requests.ts";
import type { FirstBytes } from "./first-bytes.ts";
import { type Carried, isNameNeeded, judge, type Verdict, type Wish } from "./gate.ts";
import { parseRequestHead, RequestError, splitAuthority } from "./http-head.ts";
import type { Interceptor } from "./intercept/interceptor.ts";
import { readFirst, readHead } from "./read-start.ts";
import { Refusal, refuseHttp, refuseTls } from "./refuse.ts";
import { openUpstream } from "./upstream.ts";

export interface ConnectionDeps {
  /** As it is now; undefined once the machine has no policy, or no network, any more. */
  machine: () => ProxiedMachine | undefined;
  ownAddresses: () => ReadonlySet<Address>;
  record: (decision: Decision) => void;
  ask: Ask;
  /** For names that the machine got a placeholder for. */
  resolve: (name: string, signal: AbortSignal) => Promise<readonly ResolvedAddress[]>;
  interceptor?: Interceptor | undefined;
}

export class GuestConnection {
  readonly #client: Socket;
  readonly #deps: ConnectionDeps;
  readonly #address: Address;
  readonly #port: number;
  readonly #closing = new AbortController();
  /** The wishes that have been granted, to be judged again when the policy changes. */
  readonly #granted = new Map<string, Wish>();
  /** Names that the user has allowed once, for this connection. */
  readonly #once = new Set<string>();
  #carried: Carried = "other";
  #name: string | undefined;

  constructor(
    client: Socket,
    { address, port }: { address: Address; port: number },
    deps: ConnectionDeps,
  ) {
    this.#client = client;
    this.#address = address;
    this.#port = port;
    this.#deps = deps;
    client.once("close", () => this.#closing.abort());
    client.on("error", () => {});
  }

  /** Until it is carried, or refused. Never rejects. */
  async serve(): Promise<void> {
    try {
      await this.#serve();
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      if (error instanceof Refusal || error instanceof RequestError) {
        const rule = error instanceof Refusal ? error.rule : undefined;
        this.#record("denied", { reason: error.message, rule });
        this.#refuse(error.message);
      } else {
        this.#client.resetAndDestroy();
      }
    }
  }

  /** Cuts it if the policy that the machine has now does not allow it. */
  reconsider(): void {
    const machine = this.#deps.machine();
    const own = this.#deps.ownAddresses();
    const isFine = [...this.#granted.values()].every((wish) => {
      const found = machine && judge(machine.policy, wish, own).verdict;
      return found === "allow" || (found === "ask" && this.#once.has(wish.name ?? ""));
    });
    if (!machine || !isFine) this.close();
  }

  close(): void {
    this.#client.resetAndDestroy();
    this.#closing.abort();
  }

  async #serve(): Promise<void> {
    if (!this.#mayBeAllowed()) throw new Refusal("no rule allows it");
    const { policy } = this.#machine();
    const isWanted = this.#names().some((name) => this.#isIntercepted(name));
    if (!isWanted && !isNameNeeded(policy, this.#wish(undefined, "other"))) {
      await this.#carryOther(Buffer.alloc(0));
      return;
    }
    // A server that speaks first is reached at once; what the machine then says is still read.
    const early = this.#earlyWish();
    if (early && !isWanted) {
      await this.#carryEarly(early);
      return;
    }
    const { head, first } = await readFirst(this.#client);
    await this.#carry(head, first);
  }

  async #carry(head: Buffer, first: FirstBytes, opened?: Socket): Promise<void> {
    if (first.kind === "refused") throw new Refusal(first.reason);
    if (first.kind === "tls") await this.#carryTls(head, first, opened);
    else if (first.kind === "http") await this.#carryHttp(head, opened);
    else await this.#carryOther(head, opened);
  }

  async #carryTls(
    head: Buffer,
    { name, reason }: Extract<FirstBytes, { kind: "tls" }>,
    opened?: Socket,
  ): Promise<void> {
    this.#carried = "tls";
    this.#name = name;
    const wish = await this.#grant(this.#wish(name, "tls"), reason);
    if (await this.#isTaken(head, { wish, opened })) return;
    await this.#join(head, opened);
  }

  async #carryHttp(start: Buffer, opened?: Socket): Promise<void> {
    this.#carried = "http";
    const head = await readHead(this.#client, start);
    const end = head.indexOf("\r\n\r\n") + 4;
    const { authority } = parseRequestHead(head.subarray(0, end), { mayUpgrade: true });
    const wish = this.#httpWish(authority);
    await this.#grant(wish);
    if (await this.#isTaken(head, { wish, opened })) return;
    const upstream = opened ?? (await this.#open());
    carryRequests(this.#client, upstream, {
      head,
      // What the user would have to be asked about takes a connection of its own.
      admit: (request) => this.#admit(request.authority),
      onRefused: (reason) => this.#record("denied", { reason }),
    });
  }

  async #carryOther(head: Buffer, opened?: Socket): Promise<void> {
    this.#name = this.#names()[0];
    const wishes = this.#names().map((name) => this.#wish(name, "other"));
    const allowed = wishes.find((wish) => this.#judge(wish).verdict === "allow");
    this.#name = allowed?.name ?? this.#name;
    await this.#grant(allowed ?? this.#wish(this.#name, "other"));
    await this.#join(head, opened);
  }

  async #carryEarly(wish: Wish): Promise<void> {
    this.#name = wish.name;
    const upstream = await this.#open();
    upstream.pipe(this.#client);
    upstream.once("close", () => this.#client.destroySoon());
    try {
      const { head, first } = await readFirst(this.#client, { isPatient: true });
      upstream.unpipe(this.#client);
      await this.#carry(head, first, upstream);
    } catch (error) {
      upstream.destroy();
      throw error;
    }
  }

  /** Whether the interceptor serves it from here on. */
  async #isTaken(
    head: Buffer,
    { wish, opened }: { wish: Wish; opened: Socket | undefined },
  ): Promise<boolean> {
    const { name: host, isAnswered } = wish;
    if (host === undefined || !this.#isIntercepted(host)) return false;
    if (!isAnswered) throw new Refusal("DNS has not given the machine this address for the name");
    opened?.destroy();
    const machine = this.#machine();
    await this.#deps.interceptor?.take({
      socket: this.#client,
      head,
      machineId: machine.machineId,
      host,
      addresses: machine.answers.addressesOf(host),
      targets: isPlaceholder(this.#address) ? await this.#resolved() : [this.#address],
      port: this.#port,
      admit: (authority) => this.#admit(authority, host),
      connect: () => this.#open(),
      log: ({ verdict, reason, secret }) => {
        this.#record(verdict === "allow" ? "allowed" : "denied", { reason, secret });
      },
      signal: this.#closing.signal,
    });
    return true;
  }

  async #join(head: Buffer, opened?: Socket): Promise<void> {
    const upstream = opened ?? (await this.#open());
    if (this.#client.destroyed) {
      upstream.destroy();
      return;
    }
    if (head.length > 0) upstream.write(head);
    joinStreams(this.#client, upstream);
  }

  async #open(): Promise<Socket> {
    const { signal } = this.#closing;
    const addresses = isPlaceholder(this.#address) ? await this.#resolved() : [this.#address];
    try {
      const upstream = await openUpstream({ addresses, port: this.#port }, signal);
      upstream.on("error", () => {});
      return upstream;
    } catch (error) {
      this.#record("allowed", { reason: `cannot connect: ${messageOf(error)}` });
      throw error;
    }
  }

  /** The real addresses of a name that the machine has a placeholder for. */
  async #resolved(): Promise<Address[]> {
    const machine = this.#machine();
    const name = machine.placeholders.nameOf(this.#address);
    if (name === undefined) return [];
    const found = await this.#deps.resolve(name, this.#closing.signal);
    machine.answers.add(name, found);
    const own = this.#deps.ownAddresses();
    return found.map(({ address }) => address).filter((address) => mayBeNamed(address, own));
  }

  /** Throws unless the wish is granted, by the policy or by the user. */
  async #grant(wish: Wish, doubt?: string): Promise<Wish> {
    let verdict = this.#judge(wish);
    if (verdict.verdict === "ask") verdict = await this.#askFor(wish);
    if (verdict.verdict !== "allow") throw new Refusal(doubt ?? verdict.reason, verdict.rule);
    this.#granted.set(wish.name ?? "", wish);
    this.#record("allowed", { rule: verdict.rule, reason: verdict.reason });
    return wish;
  }

  async #askFor(wish: Wish): Promise<Verdict> {
    const { machineId } = this.#machine();
    this.#record("asked", {});
    const address = wish.isPlaceholder ? undefined : wish.address;
    const question = { machineId, name: wish.name, address, port: wish.port };
    const isAllowed = await this.#deps.ask(question, this.#closing.signal);
    if (!isAllowed) return { verdict: "deny", reason: "the user has not allowed it" };
    this.#once.add(wish.name ?? "");
    return { verdict: "allow", reason: "the user has allowed it" };
  }

  /** One request on a connection that is carried already. `only`: the one name that it may be for. */
  #admit(authority: string, only?: string): void {
    const wish = this.#httpWish(authority);
    if (only !== undefined && wish.name !== only) {
      throw new RequestError(`the request is for ${authority}, the connection for ${only}`);
    }
    if (only !== undefined || this.#once.has(wish.name ?? "")) return;
    const verdict = this.#judge(wish);
    if (verdict.verdict !== "allow") throw new RequestError(`${authority}: ${verdict.reason}`);
    if (this.#granted.has(wish.name ?? "")) return;
    this.#granted.set(wish.name ?? "", wish);
    this.#record("allowed", { rule: verdict.rule, reason: verdict.reason });
  }

  #httpWish(authority: string): Wish {
    const target = splitAuthority(authority);
    if (!target) throw new RequestError("malformed Host header");
    const { host, port } = target;
    if (port !== undefined && port !== this.#port) {
      throw new RequestError(`Host header names port ${port}`);
    }
    if (host === this.#address) return this.#wish(undefined, this.#carried);
    this.#name = host;
    if (this.#carried === "http" && this.#port === 443) {
      throw new RequestError("plain HTTP to port 443 is not allowed");
    }
    return this.#wish(host, this.#carried);
  }

  #wish(name: string | undefined, carried: Carried): Wish {
    return {
      name,
      address: this.#address,
      port: this.#port,
      carried,
      isAnswered: name !== undefined && this.#names().includes(name),
      isPlaceholder: isPlaceholder(this.#address),
    };
  }

  #judge(wish: Wish): Verdict {
    return judge(this.#machine().policy, wish, this.#deps.ownAddresses());
  }

  /** What the machine has looked up, and got this address for. */
  #names(): string[] {
    const { answers, placeholders } = this.#machine();
    const held = placeholders.nameOf(this.#address);
    return held === undefined ? answers.namesOf(this.#address) : [held];
  }

  /** Refused at once where nothing that it could say would help. */
  #mayBeAllowed(): boolean {
    const names = [...this.#names(), undefined];
    const kinds: Carried[] = ["tls", "http", "other"];
    const isDenied = names.every((name) =>
      kinds.every((kind) => this.#judge(this.#wish(name, kind)).verdict === "deny"),
    );
    if (isDenied) this.#name = this.#names()[0];
    return !isDenied;
  }

  #earlyWish(): Wish | undefined {
    const names = this.#names();
    const wishes = (names.length > 0 ? names : [undefined]).map((name) =>
      this.#wish(name, "other"),
    );
    return wishes.find((wish) => this.#judge(wish).verdict === "allow");
  }

  #isIntercepted(name: string): boolean {
    const { machineId } = this.#machine();
    return this.#deps.interceptor?.wants(machineId, name, this.#port) ?? false;
  }

  #machine(): ProxiedMachine {
    const machine = this.#deps.machine();
    if (machine) return machine;
    throw new Error("the machine has gone");
  }

  #refuse(reason: string): void {
    if (this.#carried === "tls") refuseTls(this.#client);
    else if (this.#carried === "http") refuseHttp(this.#client, { reason, host: this.#name });
    else this.#client.resetAndDestroy();
  }

  #record(verdict: Decision["verdict"], more: Pick<Decision, "rule" | "reason" | "secret">): void {
    const machineId = this.#deps.machine()?.machineId;
    if (machineId === undefined) return;
    const protocol = this.#carried === "other" ? ("tcp" as const) : this.#carried;
    const name = this.#name === undefined ? {} : { name: this.#name };
    const address = isPlaceholder(this.#address) ? {} : { address: this.#address };
    const [at, port] = [new Date().toISOString(), this.#port];
    this.#deps.record({ at, machineId, verdict, protocol, ...name, ...address, port, ...more });
  }
}
