/** Copies a stream of a machine to stdout, or stdin to a machine. */
import type { ExecOpen } from "#api/exec.ts";
import { writeOut } from "#base/stdio.ts";
import type { Context } from "#cli/context.ts";
import type { ExecConnection } from "#sdk/exec.ts";
import { openStream } from "./open.ts";

type Download = Extract<ExecOpen, { kind: "read" | "archive" }>;
type Upload = Extract<ExecOpen, { kind: "extract" }>;

/** Resolves when all of it was written. */
export async function download(context: Context, open: Download): Promise<void> {
  await openStream(context, open, { onStdout: writeOut }).exited;
}

/** Resolves when the machine has taken all of it. */
export async function upload(context: Context, open: Upload): Promise<void> {
  const connection = openStream(context, open);
  await connection.started;
  void pumpStdin(connection);
  await connection.exited;
}

/** Reads no faster than the machine takes it. `filter`: keeps what is not for the machine. */
export async function pumpStdin(
  connection: ExecConnection,
  filter: (chunk: Uint8Array) => Uint8Array = (chunk) => chunk,
): Promise<void> {
  try {
    for await (const chunk of process.stdin.iterator({ destroyOnReturn: false })) {
      const bytes = filter(chunk);
      if (bytes.length > 0 && !(await connection.writeStdin(bytes))) return;
    }
  } catch {
    // A terminal that is gone ends the input like its end does.
  }
  connection.endStdin();
}
