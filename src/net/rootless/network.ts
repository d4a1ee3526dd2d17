/**
 * Networks of an ordinary user's machines: bridge, taps, rules and names in their own network namespace, which exists
 * while machines are connected.
 */
import type { PolicyLog } from "#api/network.ts";
import { BangerError } from "#base/error.ts";
import type { AttachRequest, TapAttachment } from "#net/attachment.ts";
import type { Bandwidth, BandwidthCounters } from "#net/bandwidth/bandwidth.ts";
import { exclusive } from "#net/lock.ts";
import type { NetworkMode } from "#net/mode.ts";
import type { Policy } from "#net/policy/policy.ts";
import { type HelperOptions, NetworkHelper } from "./client.ts";
import { endNamespace, ensureNamespace, findNamespace } from "./namespace.ts";
import { namespaceObstacle } from "./obstacle.ts";
import type { PlainPolicy } from "./protocol.ts";

export interface RootlessOptions extends HelperOptions {
  /** File that names the namespace's processes. */
  recordPath: string;
}

export class RootlessNetwork {
  readonly #options: HelperOptions;
  readonly #path: string;
  #helper: NetworkHelper | undefined;

  constructor({ recordPath, ...options }: RootlessOptions) {
    this.#path = recordPath;
    this.#options = options;
  }

  /** The reason why it is unsupported here, if it is. */
  async obstacle(): Promise<BangerError | undefined> {
    return findNamespace(this.#path) ? undefined : await namespaceObstacle();
  }

  /** Whether the namespace exists, so machines may be connected. */
  get isUp(): boolean {
    return findNamespace(this.#path) !== undefined;
  }

  /** As `Network.attach`. */
  async attach(
    { inUse: _, policy, ...request }: AttachRequest,
    signal?: AbortSignal,
  ): Promise<TapAttachment> {
    return await this.#locked(async () => {
      const { holder } = await ensureNamespace(this.#path, signal);
      const helper = await this.#helperIn(holder.pid);
      const call = { ...request, policy: policy && plain(policy) };
      try {
        const { ok } = await helper.call({ op: "attach", request: call }, signal);
        return { ...(ok as TapAttachment), namespacePid: holder.pid };
      } catch (error) {
        await this.#endIfEmpty().catch(() => {});
        throw error;
      }
    }, signal);
  }

  /** As `Network.detach`; the namespace ends with its last machine. */
  async detach(machine: { machineId: string; mode: NetworkMode }): Promise<void> {
    if (!this.isUp) return;
    await this.#locked(async () => {
      const { isEmpty } = (await this.#call({ op: "detach", ...machine })) ?? {};
      if (isEmpty) await this.#end();
    });
  }

  async setPolicy(machineId: string, policy: Policy | undefined): Promise<void> {
    const call = { op: "setPolicy" as const, machineId, policy: policy && plain(policy) };
    await this.#locked(() => this.#require(call));
  }

  async setNetworks(machineId: string, networks: readonly string[]): Promise<void> {
    await this.#locked(() =>
      this.#require({ op: "setNetworks", machineId, networks: [...networks] }),
    );
  }

  async setBandwidth(machineId: string, bandwidth: Bandwidth): Promise<void> {
    await this.#locked(() => this.#require({ op: "setBandwidth", machineId, bandwidth }));
  }

  async bandwidthCounters(machineId: string): Promise<BandwidthCounters> {
    const answer = await this.#call({ op: "bandwidthCounters", machineId });
    return (answer?.ok as BandwidthCounters | undefined) ?? {};
  }

  async policyLog(machineId: string): Promise<PolicyLog | undefined> {
    const answer = await this.#call({ op: "policyLog", machineId });
    return (answer?.ok as PolicyLog | null | undefined) ?? undefined;
  }

  /** As `Network.resume`. */
  async resume(policyOf: (machineId: string) => Policy | undefined): Promise<void> {
    if (!this.isUp) return;
    await this.#locked(async () => {
      if (!this.isUp) return;
      // Without pasta, machines are disconnected.
      await ensureNamespace(this.#path);
      const { ok } = await this.#require({ op: "machines" });
      const policies = Object.fromEntries(
        (ok as string[]).flatMap((id) => {
          const policy = policyOf(id);
          return policy ? [[id, plain(policy)]] : [];
        }),
      );
      const { isEmpty } = await this.#require({ op: "resume", policies });
      if (isEmpty) await this.#end();
    });
  }

  async #require(call: Parameters<NetworkHelper["call"]>[0]) {
    const answer = await this.#call(call);
    if (answer) return answer;
    throw new BangerError("not_found", "Cannot change the network: no machine is connected to it");
  }

  /** Undefined without a namespace. */
  async #call(call: Parameters<NetworkHelper["call"]>[0]) {
    const found = findNamespace(this.#path);
    return found && (await (await this.#helperIn(found.holder.pid)).call(call));
  }

  async #helperIn(pid: number): Promise<NetworkHelper> {
    if (this.#helper?.isRunning && this.#helper.namespacePid === pid) return this.#helper;
    await this.#helper?.close();
    this.#helper = new NetworkHelper(pid, this.#options);
    return this.#helper;
  }

  async #endIfEmpty(): Promise<void> {
    const answer = await this.#call({ op: "machines" });
    if (answer?.isEmpty) await this.#end();
  }

  async #end(): Promise<void> {
    await this.#helper?.close();
    this.#helper = undefined;
    await endNamespace(this.#path);
  }

  /** One process of this user at a time: a namespace must not end while a machine is being connected. */
  async #locked<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return await exclusive(work, { signal, path: `${this.#path}.lock` });
  }
}

/** Each rule once as it was written: a profile is several rules of one text. */
function plain({ rules, ...flags }: Policy): PlainPolicy {
  return { allow: [...new Set(rules.map(({ text }) => text))], ...flags };
}
