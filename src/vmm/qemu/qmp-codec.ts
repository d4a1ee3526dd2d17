/**
 * QEMU's control protocol: one JSON object on each line, both ways. The server greets with
 * {"QMP": …}, answers {"return": …} or {"error": {"class", "desc"}} with the `id` of the
 * command, and sends {"event", "data"} at any time.
 */
import { z } from "zod";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";

const MAX_LINE_BYTES = 1 * MiB;

const messageSchema = z.union([
  z.object({ QMP: z.object({}).loose() }).transform(() => ({ kind: "greeting" as const })),
  z
    .object({ event: z.string(), data: z.record(z.string(), z.unknown()).default({}) })
    .transform(({ event, data }) => ({ kind: "event" as const, event, data })),
  z
    .object({ return: z.unknown(), id: z.number().optional() })
    .refine((value) => value.return !== undefined)
    .transform((value) => ({ kind: "return" as const, id: value.id, value: value.return })),
  z
    .object({ error: z.object({ desc: z.string() }), id: z.number().optional() })
    .transform(({ error, id }) => ({ kind: "error" as const, id, message: error.desc })),
]);

export type QmpMessage = z.infer<typeof messageSchema>;

/** Cuts a byte stream into messages. `push` throws `integrity` on what is no message. */
export class QmpDecoder {
  #rest: Uint8Array[] = [];
  #restLength = 0;

  push(chunk: Uint8Array): QmpMessage[] {
    const messages: QmpMessage[] = [];
    let start = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      this.#keep(chunk.subarray(start, end));
      const line = Buffer.concat(this.#rest).toString("utf8").trim();
      this.#rest = [];
      this.#restLength = 0;
      start = end + 1;
      if (line !== "") messages.push(parseMessage(line));
    }
    this.#keep(chunk.subarray(start));
    return messages;
  }

  #keep(part: Uint8Array): void {
    this.#restLength += part.length;
    if (this.#restLength > MAX_LINE_BYTES) {
      throw new BangerError("integrity", "protocol error from QEMU: line too long");
    }
    if (part.length > 0) this.#rest.push(Uint8Array.from(part));
  }
}

export function encodeCommand(
  id: number,
  command: string,
  parameters?: Record<string, unknown>,
): string {
  const body = { execute: command, arguments: parameters, id };
  return `${JSON.stringify(body)}\n`;
}

function parseMessage(line: string): QmpMessage {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw unreadable(line, cause);
  }
  const result = messageSchema.safeParse(value);
  if (!result.success) throw unreadable(line, result.error);
  return result.data;
}

function unreadable(line: string, cause: unknown): BangerError {
  const shown = JSON.stringify(line.slice(0, 80));
  return new BangerError("integrity", `protocol error from QEMU: unexpected message ${shown}`, {
    cause,
  });
}
