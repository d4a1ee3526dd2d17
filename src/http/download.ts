/**
 * Downloads: one request for a file from an offset on, and the loop that resumes until it is complete. Callers state
 * the expected size and verify the content.
 */
import type { BangerError } from "#base/error.ts";
import { KiB } from "#base/size.ts";
import { decodedBlob, discard, readCapped } from "./body.ts";
import { statusFailure, TransferError } from "./failure.ts";
import { type RetryOptions, waitToRetry } from "./retry.ts";
import { type Answer, networkFailure, type Request, send } from "./transport.ts";
import { startWatchdog, type Watchdog } from "./watchdog.ts";

/** An attempt that brought at least this much was worth it: failures are counted anew. */
const PROGRESS_MIN_BYTES = 256 * KiB;

export interface FileRequest extends Pick<Request, "url" | "headers" | "address" | "signal"> {
  /** For messages: `download "https://…"`. */
  action: string;
  /** How long the server may be silent. */
  stallTimeout_ms?: number | undefined;
  /** Default: without credentials. */
  send?: ((request: Request) => Promise<Answer>) | undefined;
  /** The error for an answer that is no success. */
  refusal?: ((response: Response) => Promise<BangerError>) | undefined;
}

export interface RangeRequest extends FileRequest {
  /** Bytes that are here already. */
  offset: number;
  /** Of the whole file, where it is known: another file is refused by its length. */
  expected?: { size: number; wrongSize: (actual_bytes: number) => BangerError } | undefined;
}

export interface OpenedRange {
  response: Response;
  /** Where `chunks` begins: at the offset, or at 0 when the server sends the whole. */
  start: number;
  /** Ends with a TransferError when it is cut or stalls. */
  chunks: AsyncGenerator<Uint8Array>;
}

/** Asks for a file from an offset on. Unless the server sends just that, the whole comes. */
export async function openRange(request: RangeRequest): Promise<OpenedRange> {
  const watchdog = watch(request);
  try {
    const { response } = await askRange(request, watchdog.signal);
    watchdog.progress(Number.POSITIVE_INFINITY);
    if (response.status !== 200 && response.status !== 206) throw await refused(response, request);
    const { start, total, body } = await openBody(response, request);
    const left = total === undefined ? undefined : total - start;
    return { response, start, chunks: guarded(body, { request, watchdog, left }) };
  } catch (error) {
    watchdog[Symbol.dispose]();
    throw error;
  }
}

/** One attempt to read a file from an offset on: what comes before it is passed over. */
export async function* readRange(request: RangeRequest): AsyncGenerator<Uint8Array> {
  yield* fromOffset(await openRange(request), request.offset);
}

export async function* fromOffset(
  { start, chunks }: OpenedRange,
  offset: number,
): AsyncGenerator<Uint8Array> {
  let left = offset - start;
  for await (const chunk of chunks) {
    const skipped = Math.min(left, chunk.length);
    left -= skipped;
    if (skipped < chunk.length) yield skipped === 0 ? chunk : chunk.subarray(skipped);
  }
}

export interface ResumeOptions extends RetryOptions {
  /** Bytes that are here already. */
  start?: number;
  /** Of the whole. Default: the first attempt that ends well was the last. */
  size?: number;
}

/** The bytes in order, over several attempts when some fail on the way. */
export async function* resumed(
  attempt: (offset: number) => AsyncIterable<Uint8Array>,
  options: ResumeOptions,
): AsyncGenerator<Uint8Array> {
  const { signal, size = Number.POSITIVE_INFINITY } = options;
  let done = options.start ?? 0;
  for (let failures = 0; done < size; ) {
    const start = done;
    try {
      for await (const chunk of attempt(done)) {
        done += chunk.length;
        yield chunk;
      }
      if (options.size === undefined) return;
      if (done < size) throw endedEarly();
    } catch (error) {
      if (signal.aborted || !(error instanceof TransferError)) throw error;
      // A server that served us a moment ago may only be restarting.
      if (!error.isTemporary && !(error.isUnreachable && done > 0)) throw error;
      if (done - start >= PROGRESS_MIN_BYTES) failures = 0;
      failures++;
      await waitToRetry(error, failures, options);
    }
  }
}

/** A whole small file, in one attempt. `limit_exceeded` when it has more than `max_bytes`. */
export async function readSmall(
  request: FileRequest & { max_bytes: number },
): Promise<{ response: Response; bytes: Uint8Array }> {
  using watchdog = watch(request);
  const ask = request.send ?? send;
  const { response } = await ask({ ...requestOf(request), signal: watchdog.signal });
  if (!response.ok) throw await refused(response, request);
  try {
    return { response, bytes: await readCapped(response, request.max_bytes) };
  } catch (error) {
    throw networkFailure(error, request.url, watchdog.signal);
  }
}

/** The head of the answer, whatever its status. */
export async function askHead(request: Omit<FileRequest, "action" | "refusal">): Promise<Response> {
  using watchdog = watch(request);
  const ask = request.send ?? send;
  const { response } = await ask({
    ...requestOf(request),
    method: "HEAD",
    signal: watchdog.signal,
  });
  await discard(response);
  return response;
}

function watch(request: Pick<FileRequest, "url" | "signal" | "stallTimeout_ms">): Watchdog {
  const { url, signal, stallTimeout_ms: timeout_ms } = request;
  return startWatchdog({ what: `from "${url.host}"`, signal, timeout_ms });
}

function requestOf({ url, headers, address }: Omit<FileRequest, "action" | "signal">) {
  return { url, headers, address };
}

/** A server that has been cut and refuses the part that is missing is asked for the whole. */
async function askRange(request: RangeRequest, signal: AbortSignal): Promise<Answer> {
  const { offset } = request;
  const ask = request.send ?? send;
  const whole = { ...requestOf(request), signal };
  if (offset === 0) return await ask(whole);
  const headers = { ...request.headers, range: `bytes=${offset}-` };
  const answer = await ask({ ...whole, headers });
  if (answer.response.status !== 416) return answer;
  await discard(answer.response);
  return await ask(whole);
}

function refused(response: Response, request: FileRequest): Promise<BangerError> {
  const { action, url } = request;
  return request.refusal?.(response) ?? statusFailure(response, { action, host: url.host });
}

async function openBody(
  response: Response,
  request: RangeRequest,
): Promise<{ start: number; total: number | undefined; body: AsyncIterable<Uint8Array> }> {
  const { action, expected, offset, url } = request;
  const isPart = response.status === 206;
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
  if (isPart && Number(range?.[1]) !== offset) {
    await discard(response);
    throw new TransferError(
      "unavailable",
      `Cannot ${action}: "${url.host}" sent the wrong byte range`,
    );
  }
  const encoded = expected && !isPart ? decodedBlob(response, expected.size) : undefined;
  if (encoded) return { start: 0, total: expected?.size, body: encoded };
  const said = isPart ? range?.[2] : response.headers.get("content-length");
  const total = said && said !== "*" ? Number(said) : expected?.size;
  if (expected && total !== undefined && total !== expected.size) {
    await discard(response);
    throw expected.wrongSize(total);
  }
  return { start: isPart ? offset : 0, total, body: response.body ?? new Blob([]).stream() };
}

async function* guarded(
  body: AsyncIterable<Uint8Array>,
  options: { request: RangeRequest; watchdog: Watchdog; left: number | undefined },
): AsyncGenerator<Uint8Array> {
  const { request, left } = options;
  using watchdog = options.watchdog;
  let received = 0;
  try {
    for await (const chunk of body) {
      watchdog.progress(chunk.length);
      received += chunk.length;
      yield chunk;
    }
  } catch (error) {
    throw networkFailure(error, request.url, watchdog.signal);
  }
  if (left !== undefined && received < left) throw endedEarly();
}

function endedEarly(): TransferError {
  return new TransferError("unavailable", "Cannot read a file: connection reset", {
    isTemporary: true,
    hint: "Run the same command again to resume",
  });
}
