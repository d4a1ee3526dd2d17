/** Writes to a stream no faster than it takes. */
import type { Writable } from "node:stream";
import { Refused } from "./refused.ts";

export async function write(stream: Writable, bytes: Uint8Array): Promise<void> {
  if (stream.destroyed || stream.writableEnded)
    throw new Refused("the connection is closed", { status: 502 });
  if (stream.write(bytes)) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      stream.off("drain", done).off("close", done).off("error", done);
      resolve();
    };
    stream.on("drain", done).on("close", done).on("error", done);
  });
}

export async function writeAll(stream: Writable, body: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const piece of body) await write(stream, piece);
}
