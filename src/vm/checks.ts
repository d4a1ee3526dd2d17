/**
 * Services of the guest that say by answering on a port that they are up. An image names its own in a
 * label, the configuration those that any image may have. Whether they are there is shown, and nothing
 * else depends on it.
 */
import { setTimeout as pause } from "node:timers/promises";
import { getLogger } from "@logtape/logtape";
import type { ServiceCheck, VmHealth } from "#api/health.ts";
import { BangerError, messageOf } from "#base/error.ts";
import type { Agent } from "#guest/agent.ts";
import type { RunningMachines } from "#vm/life/running-machines.ts";
import type { VmDeps } from "./deps.ts";
import { askImage } from "./health-check.ts";
import { requireState } from "./machine.ts";
import { findVm, getVm, type VmRecord } from "./records.ts";
import type { States } from "./states.ts";

const log = getLogger(["banger", "vm"]);

/** "web=8080,db=5432". */
export const CHECKS_LABEL = "banger.checks";
const CHECKS_MAX = 16;
/** No kernel tells when somebody begins to listen, so that it is asked again after growing pauses. */
const PAUSES_MS = [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000];
const CONNECT_TIMEOUT_MS = 5000;
const NS_PER_MS = 1_000_000n;

interface Wanted {
  name: string;
  port: number;
  /** By the image itself, which is then shown without it too. */
  isOfImage: boolean;
}

/** "NAME=PORT" each. `invalid_argument` for anything else. */
export function parseChecks(texts: readonly string[]): { name: string; port: number }[] {
  return texts.map((text) => {
    const [, name = "", port] = /^([a-z0-9][a-z0-9._-]{0,31})=(\d{1,5})$/i.exec(text.trim()) ?? [];
    if (Number(port) >= 1 && Number(port) <= 65_535) return { name, port: Number(port) };
    throw new BangerError(
      "invalid_argument",
      `invalid check "${text.slice(0, 60)}": expected NAME=PORT, such as web=8080`,
    );
  });
}

/** Those of the image go before those of the configuration with the same name. */
function wantedOf(deps: VmDeps, vm: VmRecord): Wanted[] {
  const label = deps.images.show(vm.imageId).config.labels?.[CHECKS_LABEL] ?? "";
  const texts = label.split(",").filter((text) => text.trim() !== "");
  const ofImage = readLabel(texts).map((check) => ({ ...check, isOfImage: true }));
  const names = new Set(ofImage.map(({ name }) => name));
  const ofConfig = parseChecks(deps.config.values["vm.checks"]).map((check) => ({
    ...check,
    isOfImage: false,
  }));
  return [...ofImage, ...ofConfig.filter(({ name }) => !names.has(name))].slice(0, CHECKS_MAX);
}

/** An image is somebody else's: a label that cannot be read is none. */
function readLabel(texts: readonly string[]): { name: string; port: number }[] {
  try {
    return parseChecks(texts.slice(0, CHECKS_MAX));
  } catch (error) {
    log.warn("label {label} of an image: {message}", {
      label: CHECKS_LABEL,
      message: messageOf(error),
    });
    return [];
  }
}

export class Checks {
  readonly #deps: VmDeps;
  readonly #states: States;
  readonly #machines: RunningMachines;

  constructor(deps: VmDeps, states: States, machines: RunningMachines) {
    this.#deps = deps;
    this.#states = states;
    this.#machines = machines;
  }

  /** From now on until all answer, for a minute at most, or until the machine ends. */
  watch(id: string): void {
    void this.#watch(id).catch((error) =>
      log.debug("checks of {id}: {message}", { id, message: messageOf(error) }),
    );
  }

  /** Asks the guest now. */
  async health(id: string, signal?: AbortSignal): Promise<VmHealth> {
    const vm = getVm(this.#deps.db, id);
    const agent = await this.#agent(id, signal);
    const health = await agent.health({ signal });
    const now_ms = Date.now();
    const checks = await this.#ask(vm, agent, wantedOf(this.#deps, vm));
    this.#record(id, checks);
    const { config } = this.#deps.images.show(vm.imageId);
    const healthcheck = await askImage(agent, config, { mode: vm.spec.mode, signal });
    const { uptime_ms, memoryTotal_bytes, memoryAvailable_bytes, processes } = health;
    return {
      name: vm.name,
      uptime_ms,
      clockAhead_ms: Number(health.time_unix_ns / NS_PER_MS) - now_ms,
      memoryTotal_bytes,
      memoryAvailable_bytes,
      load: health.load_milli / 1000,
      processes,
      checks,
      healthcheck,
    };
  }

  async #watch(id: string): Promise<void> {
    const vm = getVm(this.#deps.db, id);
    const wanted = vm.spec.ephemeral ? [] : wantedOf(this.#deps, vm);
    if (wanted.length === 0) return;
    const agent = await this.#agent(id);
    for (const pause_ms of [0, ...PAUSES_MS]) {
      await pause(pause_ms, undefined, { ref: false });
      if (!this.#machines.get(id)) return;
      const checks = await this.#ask(vm, agent, wanted);
      this.#record(id, checks);
      if (checks.filter(({ answers }) => answers).length === wanted.length) return;
    }
  }

  async #ask(vm: VmRecord, agent: Agent, wanted: readonly Wanted[]): Promise<ServiceCheck[]> {
    const asked = wanted.map(async ({ name, port, isOfImage }) => ({
      check: { name, port, answers: await answers(agent, port) },
      isOfImage,
    }));
    const all = await Promise.all(asked);
    log.debug("{name}: checks {checks}", { name: vm.name, checks: all.map(({ check }) => check) });
    return all
      .filter(({ check, isOfImage }) => isOfImage || check.answers)
      .map(({ check }) => check);
  }

  /** Only of the run that they were asked in. */
  #record(id: string, checks: ServiceCheck[]): void {
    const vm = findVm(this.#deps.db, id);
    if (!vm?.runtime || !this.#machines.get(id)) return;
    if (JSON.stringify(vm.runtime.checks ?? []) === JSON.stringify(checks)) return;
    this.#states.set(id, { runtime: { ...vm.runtime, checks } });
  }

  async #agent(id: string, signal?: AbortSignal): Promise<Agent> {
    const running = this.#machines.get(id);
    if (running) return await running.link.agent(signal);
    const vm = getVm(this.#deps.db, id);
    requireState(vm, "ask", []);
    throw new BangerError("invalid_state", `Cannot check "${vm.name}": the machine is not running`);
  }
}

async function answers(agent: Agent, port: number): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(CONNECT_TIMEOUT_MS);
    const connection = await agent.connect({ kind: "tcp", host: "localhost", port }, { signal });
    connection.destroy();
    return true;
  } catch {
    return false;
  }
}
