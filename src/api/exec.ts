/**
 * A stream of a machine over a WebSocket: a command, from the caller's terminal to the guest's
 * process and back, or a connection, a file, a session. Served at `/v1/exec`, subprotocol "banger.exec.v1".
 *
 * The client opens with one text message, an `ExecOpen`. After that
 *   client → daemon  binary: stdin bytes
 *                    text:   ExecClientMessage
 *   daemon → client  binary: first byte 1 (stdout) or 2 (stderr), then the bytes
 *                    text:   ExecServerMessage, of which `exit` or `error` is the last
 *
 * Both ways are governed by credit: a side sends no more data bytes than the other has
 * granted with `grant`, so that a slow reader stalls the guest's process and nothing
 * piles up in between. Data bytes are those of the streams; a message's first byte that
 * names its stream is not counted. The daemon starts with INITIAL_CREDIT_BYTES for output; the
 * client waits for the first `grant` before it sends stdin.
 */

import { z } from "zod";
import type { Progress } from "#base/progress.ts";
import { COMMAND_MAX_BYTES, type DaemonVersion } from "./exec-constants.ts";
import { guestPath, guestUser } from "./file.ts";
import { entrypoint, environment, vmCreate, vmRef } from "./vm.ts";

export {
  EXEC_MESSAGE_MAX_BYTES,
  EXEC_PATH,
  EXEC_PROTOCOL,
  INITIAL_CREDIT_BYTES,
  STDERR_TAG,
  STDOUT_TAG,
} from "./exec-constants.ts";

/** Timers count no further. */
export const EXEC_TIMEOUT_MAX_MS = 2 ** 31 - 1;

export const terminalSize = z.object({
  columns: z.int().min(1).max(10_000),
  rows: z.int().min(1).max(10_000),
});
export type TerminalSize = z.infer<typeof terminalSize>;

/** A signal's name without "SIG", such as "INT". */
export const signalName = z
  .string()
  .regex(/^[A-Z][A-Z0-9+]{1,9}$/, { error: "not the name of a signal, such as INT" });

export const execRequest = z.object({
  /** Empty: the image's own command. No shell is involved. */
  argv: z.array(z.string().max(COMMAND_MAX_BYTES)).max(COMMAND_MAX_BYTES / 6),
  /** Added to the image's environment. */
  env: environment.optional(),
  cwd: z.string().max(4096).optional(),
  /** A name or number from the guest's passwd, with an optional ":group". */
  user: z.string().max(256).optional(),
  /** Present: the command gets a terminal of this size. */
  terminal: terminalSize.optional(),
  /** Whether the client will send stdin; otherwise it is empty. */
  stdin: z.boolean().optional(),
  /** Then it is asked to end, and ended a moment later; the stream fails with `timeout`. */
  timeout_ms: z.int().min(1).max(EXEC_TIMEOUT_MAX_MS).optional(),
  /** Of stdout and stderr together; what prints more is ended, and the stream fails with `limit_exceeded`. */
  outputMax_bytes: z.int().min(0).optional(),
});
export type ExecRequest = z.infer<typeof execRequest>;

/** Of one archive; their length counts as well. */
export const ARCHIVE_NAMES_MAX = 10_000;

const fileOfVm = { vm: vmRef, path: guestPath, user: guestUser.optional() };

export const execOpen = z.discriminatedUnion("kind", [
  /** A command in a machine that runs. */
  z.object({ kind: z.literal("exec"), vm: vmRef, exec: execRequest }),
  /** A command in a new machine that is removed with the last message, or kept and stopped. */
  z.object({
    kind: z.literal("run"),
    create: vmCreate,
    exec: execRequest,
    /** Replaces the image's entrypoint; [] for none. */
    entrypoint: entrypoint.optional(),
    keep: z.boolean().optional(),
    /** The machine is announced with `held`, and the command waits for the client's `go`. */
    hold: z.boolean().optional(),
  }),
  /** A TCP port or unix socket inside the machine; its bytes are "stdin" and "stdout". */
  z.object({
    kind: z.literal("connect"),
    vm: vmRef,
    target: z.union([
      z.object({ host: z.string().min(1).max(255), port: z.int().min(1).max(65_535) }),
      z.object({ path: z.string().min(1).max(107) }),
    ]),
  }),
  /** A file of the machine, as "stdout". */
  z.object({ kind: z.literal("read"), ...fileOfVm }),
  /** A file of the machine is replaced by "stdin" once that has ended; by default with the mode of the old one, or 0644. */
  z.object({
    kind: z.literal("write"),
    ...fileOfVm,
    mode: z.int().min(0).max(0o7777).optional(),
  }),
  /** A file or tree of the machine as a tar archive, as "stdout". */
  z.object({
    kind: z.literal("archive"),
    ...fileOfVm,
    /** Only these files and symlinks of the directory `path`, under their own names; those that do not exist are left out. */
    names: z.array(guestPath).max(ARCHIVE_NAMES_MAX).optional(),
  }),
  /** Names and attributes of a directory and everything below it, as "stdout", in the format of guest/files/tarout.h. */
  z.object({ kind: z.literal("tree"), ...fileOfVm }),
  /**
   * The output of a session, as "stdout", from its log and then as it comes, until the session has ended; how,
   * is the exit. What the log lacks is said on "stderr". Without `follow` it ends with what there is.
   */
  z.object({
    kind: z.literal("session"),
    vm: vmRef,
    session: z.string().min(1).max(64),
    /** Output from this byte on; default: all that is kept. */
    offset: z.int().min(0).optional(),
    /** Only the last of it. */
    tail_bytes: z.int().min(0).optional(),
    /** The same, in lines. */
    tail_lines: z.int().min(0).optional(),
    follow: z.boolean().optional(),
    /** Whether the client will send input; the end of it is not the session's. */
    stdin: z.boolean().optional(),
  }),
  /** A tar archive, as "stdin", that is taken apart below a folder of the machine, which is made if it is missing. */
  z.object({ kind: z.literal("extract"), ...fileOfVm }),
]);
export type ExecOpen = z.infer<typeof execOpen>;

export const execClientMessage = z.union([
  z.object({
    grant: z
      .int()
      .min(1)
      .max(1 << 30),
  }),
  z.object({ eof: z.literal(true) }),
  z.object({ resize: terminalSize }),
  z.object({ signal: signalName }),
  z.object({ go: z.literal(true) }),
]);
export type ExecClientMessage = z.infer<typeof execClientMessage>;

export const execExit = z.union([z.object({ code: z.int() }), z.object({ signal: z.string() })]);
export type ExecExit = z.infer<typeof execExit>;

export type ExecServerMessage =
  | { progress: Progress }
  /** The command runs (or the connection stands) from here on. `pid`: of a command, in the machine. */
  | { started: { vm: string; daemon?: DaemonVersion; pid?: number } }
  /** The machine runs, and its command waits. */
  | { held: { vm: string } }
  | { grant: number }
  | { exit: ExecExit }
  | { error: { code: string; message: string; hint?: string } };
