/** A decompressor of the runtime between two streams, under back-pressure, ended whatever happens. */
import type { Gunzip } from "node:zlib";
import { BangerError, messageOf } from "./error.ts";

/** What is damaged ends in `integrity`; a failure of the source is passed on. */
export async function* through(
  stream: Gunzip,
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const feeding = (async () => {
    for await (const chunk of source) {
      if (stream.destroyed) return;
      if (!stream.write(chunk)) {
        await new Promise<void>((resolve) => {
          stream.once("drain", resolve).once("close", resolve);
        });
      }
    }
    stream.end();
  })().catch((error: unknown) => {
    stream.destroy(error instanceof Error ? error : new Error(messageOf(error)));
  });
  try {
    for await (const chunk of stream) yield chunk as Uint8Array;
  } catch (error) {
    if (error instanceof BangerError) throw error;
    throw new BangerError("integrity", `corrupt compressed data: ${messageOf(error)}`, {
      cause: error,
    });
  } finally {
    stream.destroy();
    await feeding;
  }
}
