/** The file system of a machine for workspaces, over the daemon's streams. */
import type { ExecOpen } from "#api/exec.ts";
import { BangerError } from "#base/error.ts";
import { textOfBytes } from "#base/raw-text.ts";
import type { Context } from "#cli/context.ts";
import { openStream } from "#cli/exec/open.ts";
import { outputOf } from "#sdk/output.ts";
import type { GuestPort } from "#workspace/guest/port.ts";
import { toBytes } from "#workspace/names.ts";

type Readable = Extract<ExecOpen, { kind: "tree" | "archive" }>;

/** `user`: of the machine, whose the files are; default root. */
export function machinePort(context: Context, vm: string, user: string | undefined): GuestPort {
  const as = user === undefined ? {} : { user };
  const { signal } = context.interrupt;
  const text = (name: string): string => textOfBytes(toBytes(name));
  return {
    async tree(path) {
      const stream = readStream(context, { kind: "tree", vm, path, ...as });
      try {
        return rejoin(await stream.next(), stream);
      } catch (error) {
        if (error instanceof BangerError && error.code === "not_found") return undefined;
        throw error;
      }
    },
    archive: (path, names) =>
      readStream(context, { kind: "archive", vm, path, names: names.map(text), ...as }),
    async extract(path, chunks) {
      const connection = openStream(context, { kind: "extract", vm, path, user: user ?? "root" });
      await connection.started;
      for await (const chunk of chunks) if (!(await connection.writeStdin(chunk))) break;
      connection.endStdin();
      await connection.exited;
    },
    async remove(path, name) {
      const client = await context.daemon();
      const target = { name: vm, path: `${path}/${text(name)}`, ...as };
      await client.file.remove({ ...target, recursive: true, force: true }, { signal });
    },
    async mkdir(path) {
      const client = await context.daemon();
      await client.file.mkdir({ name: vm, path, parents: true, ...as }, { signal });
    },
  };
}

function readStream(context: Context, open: Readable): AsyncGenerator<Uint8Array> {
  return outputOf((options) => openStream(context, open, options));
}

async function* rejoin(
  first: IteratorResult<Uint8Array>,
  rest: AsyncGenerator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  if (!first.done) yield first.value;
  yield* rest;
}
