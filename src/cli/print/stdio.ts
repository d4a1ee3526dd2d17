/**
 * Writing to standard output and standard error at the pace of whoever reads them. The
 * streams of `process` would do as well, but take longer to set up than a short command runs.
 */

/** Resolves when the bytes were taken. Rejects with EPIPE when nobody reads any more. */
export const writeOut = makeWriter(Bun.stdout);
export const writeErr = makeWriter(Bun.stderr);

type Writer = (data: string | Uint8Array) => Promise<void>;

/** What is written at the same time comes out one after another. */
function makeWriter(file: Bun.BunFile): Writer {
  let tail: Promise<unknown> = Promise.resolve();
  return async (data) => {
    const turn = tail.then(() => Bun.write(file, data));
    tail = turn.catch(() => {});
    await turn;
  };
}
