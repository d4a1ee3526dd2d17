/**
 * One machine as one ordinary process, for service managers: no daemon takes part, the machine ends
 * with the process and the process with the machine. It works on the same store and images as the
 * daemon, which leaves the machine alone for as long as this process lives.
 */
import { getLogger } from "@logtape/logtape";
import { timerDelay_ms } from "#base/duration.ts";
import { BangerError, messageOf } from "#base/error.ts";
import type { OnProgress } from "#base/progress.ts";
import { type Config, resolveConfig } from "#config/resolve.ts";
import { type ExecStream, type ExitStatus, exitCodeOf } from "#guest/exec.ts";
import type { ForegroundRequest } from "#host/foreground-request.ts";
import { exitError } from "#vm/life/exit-error.ts";
import { RESTART_SIGNAL, thisProcess } from "#vm/life/owner.ts";
import type { VmService } from "#vm/service.ts";
import { compose, type Services } from "./compose.ts";
import { makeRouter } from "./handlers/router.ts";
import { holdWork } from "./lock.ts";
import { startLog } from "./log.ts";
import { makeNotifier, type Notifier } from "./notify.ts";
import { type RunningServer, serve } from "./server.ts";

const log = getLogger(["banger", "foreground"]);

interface Front {
  request: ForegroundRequest;
  config: Config;
  services: Services;
  vms: VmService;
  notifier: Notifier;
  /** Fires when the process is to end before the machine is up. */
  signal: AbortSignal;
  /** From now on `handler` gets what comes in: at most one at a time is of use. */
  onSignal(handler: (signal: NodeJS.Signals) => void): void;
}

/** Gives the exit status: the command's own, or 0 for a machine that was shut down. */
export async function runForeground(request: ForegroundRequest): Promise<number> {
  const config = await resolveConfig();
  await startLog(config.values["log.level"]);
  const notifier = makeNotifier();
  const abort = new AbortController();
  let handler = (signal: NodeJS.Signals): void => {
    if (signal === RESTART_SIGNAL) return;
    log.info("ending: {signal}", { signal });
    abort.abort();
  };
  for (const signal of ["SIGTERM", "SIGINT", "SIGQUIT"] as const) {
    process.on(signal, () => {
      // Before it ends what it has begun: a service manager is to know that this is no failure.
      if (signal !== "SIGINT") notifier.stopping(`Stopping after ${signal}`);
      handler(signal);
    });
  }
  process.on("SIGHUP", () => {});
  process.on(RESTART_SIGNAL, () => handler(RESTART_SIGNAL));
  const services = compose(config, { shutdown() {}, owner: thisProcess() });
  const { vms } = services;
  await vms.recoverForeground();
  const onSignal: Front["onSignal"] = (next) => {
    handler = next;
  };
  const front: Front = {
    request,
    config,
    services,
    vms,
    notifier,
    signal: abort.signal,
    onSignal,
  };
  if (vms.find(request.name)) return await runMachine(front);
  return await runCommand(front);
}

/** Progress as lines of the log: each step once. */
function logSteps(): OnProgress {
  const seen = new Set<string>();
  return ({ step, message }) => {
    if (seen.has(step)) return;
    seen.add(step);
    log.info("{message}", { message });
  };
}

async function runMachine(front: Front): Promise<number> {
  const { request, vms, notifier, signal, onSignal } = front;
  const { name } = request;
  assertPlain(request);
  let isEnding = false;
  for (;;) {
    let isRestarting = false;
    await vms.takeOver(name);
    const printing = new AbortController();
    try {
      await vms.start(name, { signal, onProgress: logSteps() });
    } catch (error) {
      // It was asked to end, and has ended.
      if (signal.aborted || isEnding) return 0;
      throw error;
    }
    const ended = vms.wait(name);
    const end = (received: NodeJS.Signals): void => {
      if (received === RESTART_SIGNAL) {
        if (isEnding || isRestarting) return;
        isRestarting = true;
        log.info("{name} is restarted", { name });
        vms.stop(name).catch((error) => log.error("{message}", { message: messageOf(error) }));
        return;
      }
      const isAtOnce = isEnding || received === "SIGQUIT";
      isEnding = true;
      log.info("{name} is ended: {received}", { name, received });
      const ending = isAtOnce ? vms.kill(name) : vms.stop(name);
      ending.catch((error) => log.error("{message}", { message: messageOf(error) }));
    };
    onSignal(end);
    // It came too late to call the start off.
    if (signal.aborted) end("SIGTERM");
    const server = await answer(front, vms.show(name).id);
    notifier.ready(`${name} runs`);
    void printConsole(front, printing.signal);
    const exit = await ended;
    await server.stop();
    printing.abort();
    // Like a computer that is turned off, and is on again after it was told to restart.
    if ((exit.reason === "reboot" || isRestarting) && !isEnding) continue;
    if (isEnding || exit.reason === "poweroff" || exit.reason === "reboot") return exit.status ?? 0;
    throw exitError(name, exit, { doing: "ran" });
  }
}

/** The API, for the commands that go into the machine: a daemon hands them on. */
async function answer({ config, services }: Front, id: string): Promise<RunningServer> {
  const { socket } = config.paths.vm(id);
  return await serve({ socket, router: makeRouter(services), services, calls: services.calls });
}

/** All that its command prints, or what is added to the console from now on. */
async function printConsole({ request, vms }: Front, signal: AbortSignal): Promise<void> {
  try {
    const hasCommand = vms.show(request.name).command !== undefined;
    const from = hasCommand ? { isCurrent: true } : { tail: 0 };
    for await (const { text } of vms.logs(request.name, { follow: true, ...from, signal })) {
      await request.writeConsole(text);
    }
  } catch (error) {
    log.warn("cannot print the console: {message}", { message: messageOf(error) });
  }
}

async function runCommand(front: Front): Promise<number> {
  const { request, config, vms, notifier, signal, onSignal } = front;
  const vm = await (async () => {
    // What is half-made by a pull has nobody's name on it.
    using _working = await holdWork(config.paths.workLock, signal);
    return await vms.create(
      { ...request.create, mode: request.create.mode ?? "direct", ephemeral: true, start: true },
      { signal, onProgress: logSteps() },
    );
  })();
  let endedBy: NodeJS.Signals | undefined;
  let server: RunningServer | undefined;
  try {
    const ended = vms.wait(vm.id).catch(() => undefined);
    const { entrypoint } = request;
    const stream = await vms.guests.exec(vm.id, request.exec, {
      entrypoint,
      asImage: true,
      signal,
    });
    onSignal((received) => {
      if (received === RESTART_SIGNAL) return;
      log.info("{name}: {received}", { name: vm.name, received });
      const kill = (): void => void vms.kill(vm.id).catch(() => {});
      const isAtOnce = received === "SIGQUIT" || (endedBy !== undefined && received !== "SIGINT");
      if (received !== "SIGINT") endedBy = received;
      if (isAtOnce) return kill();
      stream.signal(received);
      // A command that pays no heed to it is ended with its machine.
      if (endedBy) setTimeout(kill, timerDelay_ms(config.values["vm.stop_grace"])).unref();
    });
    server = await answer(front, vm.id);
    notifier.ready(`${vm.name} runs ${request.exec.argv[0] ?? "its command"}`);
    join(stream, request);
    const exit = await stream.exited.catch(async (error): Promise<ExitStatus> => {
      // A machine that dies takes the connection along; its end is what is of interest.
      const end = await ended;
      if (endedBy) return { signal: endedBy.slice("SIG".length) };
      const { expiresAt } = vms.find(vm.name) ?? vm;
      const told = { doing: "ran the command", expiresAt, isRemoved: true };
      throw end ? exitError(vm.name, end, told) : error;
    });
    return exitCodeOf(exit);
  } finally {
    await server?.stop();
    await vms.discard(vm.id);
  }
}

/** The command's streams are this process's. */
function join(stream: ExecStream, { writeOut, writeErr, stdin }: ForegroundRequest): void {
  const pass = (write: ForegroundRequest["writeOut"]) => (chunk: Uint8Array) => {
    // Output that nobody takes is dropped, as a pipe without a reader does.
    const granted = (): void => stream.grant(chunk.length);
    write(chunk).then(granted, granted);
  };
  stream.onStdout(pass(writeOut));
  stream.onStderr(pass(writeErr));
  if (stdin) void pump(stream, stdin);
}

async function pump(stream: ExecStream, stdin: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    for await (const chunk of stdin) await stream.writeStdin(chunk);
  } catch {
    // A terminal that is gone ends the input like its end does.
  }
  await stream.closeStdin().catch(() => {});
}

/** A machine that is there is what it was made. */
function assertPlain({ name, create, exec, entrypoint }: ForegroundRequest): void {
  const { image: _, ...described } = create;
  const given = Object.entries({ ...described, entrypoint })
    .filter(([, value]) => value !== undefined)
    .map(([name]) => name);
  given.push(...exec.argv);
  if (given.length === 0) return;
  throw new BangerError(
    "invalid_argument",
    `Cannot set "${given[0]}" of machine "${name}": the machine exists already`,
    { hint: `Omit the option, or remove the machine first: banger vm rm ${name}` },
  );
}
