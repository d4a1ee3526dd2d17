/** The kinds of exec WebSocket: each joins the client to one stream of a machine. */
import type { Duplex, Writable } from "node:stream";
import { type ExecExit, type ExecOpen, STDERR_TAG, STDOUT_TAG } from "#api/exec.ts";
import type { DaemonVersion } from "#api/exec-constants.ts";
import type { Vm, VmExit } from "#api/vm.ts";
import { throwIfAborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import { withProgress } from "#daemon/stream.ts";
import type { ExecStream } from "#guest/exec.ts";
import { finish } from "#sdk/stream.ts";
import type { VmFiles } from "#vm/files/service.ts";
import { exitError } from "#vm/life/exit-error.ts";
import type { VmService } from "#vm/service.ts";
import type { Sessions } from "#vm/sessions/sessions.ts";
import type { VmSnapshots } from "#vm/snapshots/service.ts";
import type { Volumes } from "#vm/volumes/volumes.ts";
import { limitExec } from "./limits.ts";
import type { Wire } from "./wire.ts";

/** From the end of a machine's connection to that of its process. */
const EXIT_GRACE_MS = 3000;
const DONE: ExecExit = { code: 0 };

export interface StreamServices {
  vms: VmService;
  files: VmFiles;
  sessions: Sessions;
  snapshots: VmSnapshots;
  volumes: Volumes;
  /** What clients are told that this is; a process in the foreground is no daemon. */
  daemon: DaemonVersion | undefined;
}

/** For one stream. */
type Context = StreamServices & {
  /** Id of the token that a new machine belongs to. */
  token: string | undefined;
};

type Open<K extends ExecOpen["kind"]> = Extract<ExecOpen, { kind: K }>;

/** Resolves when the stream has ended; the client leaves by the wire's signal. */
export async function openStream(
  wire: Wire,
  request: ExecOpen,
  services: Context,
): Promise<ExecExit> {
  switch (request.kind) {
    case "exec":
      return await openExec(wire, request, services);
    case "run":
      return await openRun(wire, request, services);
    case "connect":
      return await openConnection(wire, request, services);
    case "session":
      return await openSessionStream(wire, request, services);
    case "extract":
      return await openExtraction(wire, request, services);
    case "write":
      return await openWrite(wire, request, services);
    case "archive":
      return await openReadable(wire, request.vm, (signal) =>
        services.files.archive({ name: request.vm, ...request }, signal),
      );
    case "tree":
      return await openReadable(wire, request.vm, (signal) =>
        services.files.tree({ name: request.vm, ...request }, signal),
      );
    case "read":
      return await openReadable(wire, request.vm, (signal) =>
        services.files.readStream({ name: request.vm, ...request }, signal),
      );
  }
}

async function openExec(
  wire: Wire,
  request: Open<"exec">,
  { vms }: StreamServices,
): Promise<ExecExit> {
  const vm = vms.show(request.vm);
  const ended = watch(vms.wait(vm.id, wire.signal));
  const stream = await vms.guests.exec(vm.id, request.exec, { signal: wire.signal });
  return await relay(wire, stream, { vm, vms, ended, exec: request.exec });
}

async function openRun(
  wire: Wire,
  request: Open<"run">,
  { vms, token }: Context,
): Promise<ExecExit> {
  const { create: wanted, keep } = request;
  const mode = wanted.mode ?? "direct";
  const create = { ...wanted, mode, command: [], ephemeral: !keep, start: true, token };
  const reports = withProgress(wire.signal, (work) => vms.create(create, work));
  const vm = await finish(Promise.resolve(reports), (progress) => wire.say({ progress }));
  try {
    const ended = watch(vms.wait(vm.id, wire.signal));
    if (request.hold) await wire.hold(vm.name);
    throwIfAborted(wire.signal);
    const stream = await vms.guests.exec(vm.id, request.exec, {
      entrypoint: request.entrypoint,
      asImage: true,
      signal: wire.signal,
    });
    const command = { vm, vms, ended, exec: request.exec, isRemoved: !request.keep };
    return await relay(wire, stream, command, async (exit) => {
      if (exit) vms.noteExit(vm.id, exit);
      // The machine is gone before the client hears of the exit, so nothing outlives `vm run`.
      if (request.keep) await vms.stop(vm.id);
      else await vms.discard(vm.id);
    });
  } catch (error) {
    await vms.remove(vm.id, { force: true }).catch(() => {});
    throw error;
  }
}

interface Command {
  vm: Vm;
  vms: VmService;
  ended: Promise<VmExit>;
  exec: Open<"exec">["exec"];
  /** The machine goes with its command. */
  isRemoved?: boolean;
}

async function relay(
  wire: Wire,
  stream: ExecStream,
  { vm, vms, ended, exec, isRemoved }: Command,
  beforeExit?: (exit: ExecExit | undefined) => Promise<void>,
): Promise<ExecExit> {
  wire.join(
    {
      write: (bytes) => stream.writeStdin(bytes),
      end: () => stream.closeStdin(),
      grant: (bytes) => stream.grant(bytes),
      resize: (size) => stream.resize(size),
      signal: (signal) => stream.signal(signal),
      close: () => stream.close(),
    },
    vm.name,
    stream.pid,
  );
  using limits = limitExec(stream, exec);
  stream.onStdout((chunk) => wire.sendOutput(STDOUT_TAG, limits.pass(chunk)));
  stream.onStderr((chunk) => wire.sendOutput(STDERR_TAG, limits.pass(chunk)));
  let exit: ExecExit | undefined;
  try {
    exit = await stream.exited;
    if (limits.failure) throw limits.failure;
    return exit;
  } catch (error) {
    if (limits.failure) throw limits.failure;
    // A guest that breaks the protocol is there all the same.
    if (!(error instanceof BangerError && /^(unavailable|cancelled)$/.test(error.code)))
      throw error;
    if (wire.signal.aborted) throw error;
    // A machine that dies takes the connection along; its end is what the user needs to hear.
    const end = await Promise.race([ended, Bun.sleep(EXIT_GRACE_MS)]).catch(() => undefined);
    const { name, state, expiresAt } = vms.find(vm.name) ?? vm;
    if (/^(suspend|wak)/.test(state)) throw suspendedError(name);
    const told = { doing: "ran the command", expiresAt, isRemoved };
    throw end && !wire.signal.aborted ? exitError(name, end, told) : error;
  } finally {
    wire.leave();
    await beforeExit?.(exit);
  }
}

function suspendedError(name: string): BangerError {
  return new BangerError("unavailable", `disconnected: machine "${name}" was suspended`, {
    hint: `Commands that are to go on run in a session: banger vm exec -d ${name} -- COMMAND`,
  });
}

async function openConnection(
  wire: Wire,
  { vm, target }: Open<"connect">,
  { vms }: StreamServices,
): Promise<ExecExit> {
  const guest: Duplex = await vms.guests.connect(
    vm,
    "path" in target ? { kind: "unix", ...target } : { kind: "tcp", ...target },
    wire.signal,
  );
  wire.join({ ...writableTarget(guest), close: () => guest.destroy() }, vm);
  await wire.pipe(guest as AsyncIterable<Uint8Array>);
  return DONE;
}

async function openReadable(
  wire: Wire,
  vm: string,
  open: (signal: AbortSignal) => Promise<AsyncIterable<Uint8Array> & { destroy(): unknown }>,
): Promise<ExecExit> {
  const source = await open(wire.signal);
  wire.join({ close: () => source.destroy() }, vm);
  await wire.pipe(source);
  return DONE;
}

async function openExtraction(
  wire: Wire,
  request: Open<"extract">,
  { files }: StreamServices,
): Promise<ExecExit> {
  const sink = await files.extract({ name: request.vm, ...request }, wire.signal);
  return await fill(wire, request.vm, sink);
}

async function openWrite(
  wire: Wire,
  request: Open<"write">,
  { files }: StreamServices,
): Promise<ExecExit> {
  const sink = await files.writeStream({ name: request.vm, ...request }, wire.signal);
  return await fill(wire, request.vm, sink);
}

/** A client that leaves before its input has ended leaves nothing half written. */
async function fill(
  wire: Wire,
  vm: string,
  { writable, finished }: { writable: Writable; finished: Promise<unknown> },
): Promise<ExecExit> {
  const close = (): unknown => writable.destroy(new Error("client disconnected"));
  wire.join({ ...writableTarget(writable), close }, vm);
  await finished;
  return DONE;
}

async function openSessionStream(
  wire: Wire,
  request: Open<"session">,
  { sessions }: StreamServices,
): Promise<ExecExit> {
  const session = sessions.find(request.vm, request.session);
  const { log } = session;
  const { tail_bytes, tail_lines, follow = false } = request;
  const offset =
    tail_lines !== undefined
      ? log.startOfLast(tail_lines)
      : tail_bytes === undefined
        ? (request.offset ?? 0)
        : log.end - tail_bytes;
  const ignore = (work: Promise<void>): void => void work.catch(() => {});
  wire.join(
    {
      write: request.stdin ? (bytes) => session.send(bytes, wire.signal) : undefined,
      resize: (size) => ignore(session.resize(size)),
      signal: (name) => ignore(session.signal(name)),
      close() {},
    },
    request.vm,
  );
  const output = session.read({ offset, follow, signal: wire.signal });
  await wire.pipe(withoutGaps(wire, output, Math.max(offset, 0)));
  if (follow && session.toApi().state === "lost") {
    throw new BangerError(
      "guest",
      `session "${request.session}" ended because its machine stopped`,
    );
  }
  return session.exit ?? DONE;
}

/** Says on stderr where output is missing. */
async function* withoutGaps(
  wire: Wire,
  chunks: AsyncIterable<{ offset: number; bytes: Uint8Array }>,
  from: number,
): AsyncGenerator<Uint8Array> {
  let at = from;
  for await (const { offset, bytes } of chunks) {
    if (offset > at) {
      const text = `\n[banger: ${offset - at} bytes of output were dropped]\n`;
      wire.sendOutput(STDERR_TAG, new TextEncoder().encode(text));
    }
    yield bytes;
    at = offset + bytes.length;
  }
}

function writableTarget(writable: Writable) {
  return {
    write(bytes: Uint8Array): Promise<void> {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      writable.write(bytes, (error) => (error ? reject(error) : resolve()));
      return promise;
    },
    async end(): Promise<void> {
      writable.end();
    },
  };
}

/** For a promise that is looked at later, or never: its failure alone is no error. */
function watch<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
