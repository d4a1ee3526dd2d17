/** The programs that the agent itself is: started like a command, with an error that has a code. */
import { Readable, Writable } from "node:stream";
import { BangerError, toBangerError } from "#base/error.ts";
import { KiB } from "#base/size.ts";
import { ByteBuffer } from "./byte-buffer.ts";
import type { Connection } from "./connection.ts";
import { type ExecStream, openExec } from "./exec.ts";
import { Fields } from "./fields.ts";
import { AGENT_PATH } from "./protocol.ts";
import { decodeError } from "./stream.ts";

const MAX_STDERR_BYTES = 4 * KiB;
const WINDOW_BYTES = 512 * KiB;
/** Grants are collected up to this, so that small reads do not each cost a frame. */
const GRANT_STEP_BYTES = 64 * KiB;

export interface ProgramOptions {
  /** As in ExecRequest; default root. */
  user?: string | undefined;
  signal?: AbortSignal | undefined;
}

export interface GuestProgram {
  readonly exec: ExecStream;
  /** After the last byte of output. Rejects with what the program says of its failure. */
  readonly finished: Promise<void>;
}

/** Fails with `unsupported` where the guest's agent does not have the feature. */
export async function openProgram(
  connection: Connection,
  argv: readonly string[],
  options: ProgramOptions & { feature: string; stdin?: boolean },
): Promise<GuestProgram> {
  if (!connection.features.includes(options.feature)) {
    throw new BangerError(
      "unsupported",
      `Cannot use ${options.feature}: the machine's guest agent is too old`,
      { hint: "Restart the machine to update its agent: banger vm restart" },
    );
  }
  const exec = await openExec(
    connection,
    {
      argv: [AGENT_PATH, ...argv],
      user: options.user,
      stdin: options.stdin,
      window_bytes: WINDOW_BYTES,
    },
    { signal: options.signal },
  );
  const words: Uint8Array[] = [];
  let size = 0;
  exec.onStderr((chunk) => {
    size += chunk.length;
    if (size <= MAX_STDERR_BYTES) words.push(chunk);
    exec.grant(chunk.length);
  });
  const finished = exec.exited.then((status) => {
    if (!("code" in status) || status.code !== 0) throw failureOf(Buffer.concat(words));
  });
  finished.catch(() => {});
  return { exec, finished };
}

/** Runs a program to its end and gives what it printed, at most `outputMax_bytes`. */
export async function callProgram(
  connection: Connection,
  argv: readonly string[],
  options: ProgramOptions & { feature: string; outputMax_bytes: number; input?: Uint8Array },
): Promise<Uint8Array> {
  const { input, outputMax_bytes } = options;
  const program = await openProgram(connection, argv, { ...options, stdin: input !== undefined });
  const answer = new ByteBuffer();
  let isTooLong = false;
  program.exec.onStdout((chunk) => {
    if (answer.size + chunk.length > outputMax_bytes) {
      isTooLong = true;
      program.exec.close();
      return;
    }
    answer.add(chunk);
    program.exec.grant(chunk.length);
  });
  if (input) {
    await program.exec.writeStdin(input);
    await program.exec.closeStdin();
  }
  try {
    await program.finished;
  } catch (error) {
    if (!isTooLong) throw error;
    throw new BangerError(
      "limit_exceeded",
      `response from the guest agent too long: more than ${outputMax_bytes} bytes`,
    );
  }
  return answer.take();
}

/** What the program prints, under back-pressure; an error of the program is the stream's. */
export function programOutput(program: GuestProgram): Readable {
  let owed = 0;
  let isFull = false;
  // A guest may send what it was granted in pieces of one byte.
  const waiting = new ByteBuffer();
  const pass = (): void => {
    if (waiting.size > 0) isFull = !output.push(waiting.take());
  };
  const grant = (least: number): void => {
    if (owed < least || isFull) return;
    program.exec.grant(owed);
    owed = 0;
  };
  const output = new Readable({
    read() {
      isFull = false;
      pass();
      grant(1);
    },
    destroy(error, done) {
      program.exec.close();
      done(error);
    },
  });
  // A guest that breaks off may not end this process, even while nobody listens yet.
  output.on("error", () => {});
  program.exec.onStdout((chunk) => {
    owed += chunk.length;
    waiting.add(chunk);
    if (!isFull) pass();
    grant(GRANT_STEP_BYTES);
  });
  program.finished.then(
    () => {
      pass();
      output.push(null);
    },
    (error: unknown) => output.destroy(toBangerError(error)),
  );
  return output;
}

/** What the program reads; ends with an error as soon as the program fails. */
export function programInput(program: GuestProgram): Writable {
  const input = new Writable({
    write(chunk: Uint8Array, _encoding, done) {
      program.exec.writeStdin(chunk).then(() => done(), done);
    },
    final(done) {
      program.exec.closeStdin().then(() => done(), done);
    },
    destroy(error, done) {
      if (error) program.exec.close();
      done(error);
    },
  });
  input.on("error", () => {});
  program.finished.catch((error: unknown) => input.destroy(toBangerError(error)));
  return input;
}

function failureOf(words: Uint8Array): BangerError {
  try {
    const failure = decodeError(Fields.parse(words));
    if (failure) return failure;
  } catch {
    // It says something else: the text of the loader, or of a sanitizer.
  }
  const text = new TextDecoder().decode(words).trim().slice(0, 300);
  return new BangerError("guest", `guest agent helper failed: ${text || "no output"}`);
}
