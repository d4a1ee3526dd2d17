/** A command in the guest with its output collected. */

import { timerDelay_ms } from "#base/duration.ts";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { ByteBuffer } from "./byte-buffer.ts";
import type { Connection } from "./connection.ts";
import { type ExecRequest, type ExitStatus, openExec } from "./exec.ts";

const OUTPUT_MAX_BYTES = MiB;
const TIMEOUT_DEFAULT_MS = 60_000;

export interface RunInGuestOptions
  extends Pick<ExecRequest, "env" | "cwd" | "makesCwd" | "user" | "window_bytes"> {
  input?: string | Uint8Array | undefined;
  /** Of stdout and stderr together; more ends the command with `limit_exceeded`. Default 1 MiB. */
  outputMax_bytes?: number | undefined;
  /** Default 60,000. */
  timeout_ms?: number | undefined;
  signal?: AbortSignal | undefined;
}

export interface GuestRunResult {
  status: ExitStatus;
  stdout: Uint8Array;
  stderr: Uint8Array;
}

export async function runInGuest(
  connection: Connection,
  request: { argv: readonly string[] } & RunInGuestOptions,
): Promise<GuestRunResult> {
  const { input, outputMax_bytes = OUTPUT_MAX_BYTES, timeout_ms = TIMEOUT_DEFAULT_MS } = request;
  const ending = new AbortController();
  let failure: BangerError | undefined;
  const end = (error: BangerError): void => {
    failure ??= error;
    ending.abort();
  };
  const name = request.argv[0] ?? "";
  const timer = setTimeout(
    () => end(new BangerError("timeout", `"${name}" timed out after ${timeout_ms} ms`)),
    timerDelay_ms(timeout_ms),
  );
  const signal = request.signal ? AbortSignal.any([ending.signal, request.signal]) : ending.signal;
  try {
    const stream = await openExec(
      connection,
      { ...request, stdin: input !== undefined },
      { signal },
    );
    const stdout = new ByteBuffer();
    const stderr = new ByteBuffer();
    const collect = (output: ByteBuffer) => (chunk: Uint8Array) => {
      if (stdout.size + stderr.size + chunk.length > outputMax_bytes) {
        end(
          new BangerError("limit_exceeded", `"${name}" printed more than ${outputMax_bytes} bytes`),
        );
        return;
      }
      output.add(chunk);
      stream.grant(chunk.length);
    };
    stream.onStdout(collect(stdout));
    stream.onStderr(collect(stderr));
    if (input !== undefined) {
      await stream.writeStdin(typeof input === "string" ? new TextEncoder().encode(input) : input);
      await stream.closeStdin();
    }
    const status = await stream.exited;
    return { status, stdout: stdout.take(), stderr: stderr.take() };
  } catch (error) {
    throw failure ?? error;
  } finally {
    clearTimeout(timer);
  }
}
