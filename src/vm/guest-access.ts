/** What is done inside machines that run: commands, connections, and requests to the agent. */
import type { ExecRequest } from "#api/exec.ts";
import { INITIAL_CREDIT_BYTES } from "#api/exec-constants.ts";
import { throwIfAborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import type { Agent } from "#guest/agent.ts";
import type { ConnectTarget } from "#guest/connect.ts";
import type { ExecStream, ExecRequest as GuestExecRequest } from "#guest/exec.ts";
import type { IdleTracker } from "#vm/life/idle.ts";
import { assertHere } from "#vm/life/owner.ts";
import type { RunningMachine } from "#vm/life/running-machines.ts";
import type { VmDeps } from "./deps.ts";
import { commandOf, toGuestRequest } from "./exec.ts";
import { isAsleep, requireState } from "./machine.ts";
import { getVm, type VmRecord } from "./records.ts";

interface Machines {
  running(id: string): RunningMachine | undefined;
  /** Resolves when whatever an earlier daemon left of the machine has been dealt with. */
  recovered(id: string): Promise<void>;
  /** Wakes the machine if it is suspended. */
  awake(id: string, signal?: AbortSignal): Promise<void>;
  /** Resolves when something of the machine has changed. */
  nextEvent(id: string, signal?: AbortSignal): Promise<void>;
}

export class GuestAccess {
  readonly #deps: VmDeps;
  readonly #machines: Machines;

  constructor(deps: VmDeps, machines: Machines) {
    this.#deps = deps;
    this.#machines = machines;
  }

  /** Runs a command in a machine that runs. An empty argv is the image's own command. */
  async exec(
    ref: string,
    request: ExecRequest,
    options: {
      entrypoint?: readonly string[] | undefined;
      asImage?: boolean;
      signal?: AbortSignal;
    } = {},
  ): Promise<ExecStream> {
    const { agent, command, idle } = await this.prepareExec(ref, request, options);
    const stream = await agent.exec(
      // As much as a client takes before it grants more, and no more than that.
      { ...command, window_bytes: INITIAL_CREDIT_BYTES },
      { signal: options.signal },
    );
    idle.holdUntil(stream.exited);
    return stream;
  }

  /** The command as it is to be run, with the image's defaults, and the agent that runs it. */
  async prepareExec(
    ref: string,
    request: ExecRequest,
    options: {
      entrypoint?: readonly string[] | undefined;
      asImage?: boolean;
      makesCwd?: boolean | undefined;
      signal?: AbortSignal | undefined;
    } = {},
  ): Promise<{ agent: Agent; command: GuestExecRequest; idle: IdleTracker }> {
    const { vm, running } = await this.#reach(ref, "run a command in", options.signal);
    const image = this.#deps.images.show(vm.imageId);
    const argv = options.asImage
      ? commandOf(image.config, request.argv, options.entrypoint)
      : request.argv;
    if (argv.length === 0) {
      throw new BangerError("invalid_argument", "missing argument: COMMAND", {
        hint: `Run: banger vm exec ${vm.name} -- COMMAND`,
      });
    }
    const agent = await running.link.agent(options.signal);
    return {
      agent,
      idle: running.idle,
      command: toGuestRequest({ ...request, argv: [...argv] }, image.config, {
        mode: vm.spec.mode,
        makesCwd: options.makesCwd ?? options.asImage,
      }),
    };
  }

  /** Opens a TCP port or unix socket inside the machine. */
  async connect(ref: string, target: ConnectTarget, signal?: AbortSignal) {
    const { running } = await this.#reach(ref, "connect to", signal);
    const agent = await running.link.agent(signal);
    const connection = await agent.connect(target, { signal });
    const held = running.idle.hold();
    connection.once("close", () => held[Symbol.dispose]());
    return connection;
  }

  /** The agent of a machine that runs; `verb` says what for, in the error of one that does not. */
  async agent(ref: string, verb: string, signal?: AbortSignal): Promise<Agent> {
    const { running } = await this.#reach(ref, verb, signal);
    running.idle.touch();
    return await running.link.agent(signal);
  }

  /** The same for work in the background, which does not wake a machine: it waits until somebody else does. */
  async agentOnceAwake(ref: string, verb: string, signal?: AbortSignal): Promise<Agent> {
    for (;;) {
      const { id, state } = getVm(this.#deps.db, ref);
      if (state !== "paused" && !isAsleep(state)) return await this.agent(id, verb, signal);
      await this.#machines.nextEvent(id, signal);
      throwIfAborted(signal);
    }
  }

  /** The one place where a suspended machine is woken for what somebody wants in it. */
  async #reach(
    ref: string,
    verb: string,
    signal?: AbortSignal,
  ): Promise<{ vm: VmRecord; running: RunningMachine }> {
    const { id } = getVm(this.#deps.db, ref);
    await this.#machines.recovered(id);
    await this.#machines.awake(id, signal);
    const vm = getVm(this.#deps.db, id);
    return { vm, running: this.#requireRunning(vm, verb) };
  }

  #requireRunning(vm: VmRecord, verb: string): RunningMachine {
    const running = this.#machines.running(vm.id);
    if (!running) assertHere(vm, verb, this.#deps.owner);
    if (!running || vm.state === "paused") requireState(vm, verb, []);
    if (!running) throw new BangerError("invalid_state", `machine "${vm.name}" is not running`);
    running.link.isVisited = true;
    return running;
  }
}
