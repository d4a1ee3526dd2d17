import { BangerError } from "#base/error.ts";

/** The whole body, if it has no more than `max_bytes`; `limit_exceeded` if it has more. */
export async function readCapped(response: Response, max_bytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > max_bytes) {
      throw new BangerError(
        "limit_exceeded",
        `Cannot read an answer of more than ${max_bytes} bytes`,
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

/** Lets go of an answer whose body nobody wants, and of its connection. */
export async function discard(response: Response): Promise<void> {
  try {
    await response.body?.cancel();
  } catch {
    // The connection is gone already, which is what was wanted.
  }
}
