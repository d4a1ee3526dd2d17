/** The output of a stream of a machine, as chunks to iterate over. */
import type { ExecConnection, OnOutput } from "#api/serve/exec-client.ts";

/** `open`: opens the stream with `onStdout`. It is closed when the loop ends, and throws what the stream fails with. */
export async function* outputOf(
  open: (options: { onStdout: OnOutput }) => ExecConnection,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const connection = open({ onStdout: (bytes) => writer.write(bytes.slice()) });
  connection.exited
    .then(
      () => writer.close(),
      (error: unknown) => writer.abort(error),
    )
    .catch(() => {});
  try {
    yield* readable;
  } finally {
    connection.close();
  }
}
