/** A directory of the host that stands in for a machine's file system. */
import { existsSync, lstatSync, mkdirSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { GuestPort } from "#workspace/guest/port.ts";

export interface FolderGuest extends GuestPort {
  /** Where a path of the machine is. */
  at(path: string): string;
  /** Bytes that were sent to it. */
  received_bytes: number;
  /** Called before each chunk that it takes. */
  onChunk?: ((received_bytes: number) => void) | undefined;
}

export function folderGuest(root: string): FolderGuest {
  const at = (path: string): string => join(root, path);
  const guest: FolderGuest = {
    at,
    received_bytes: 0,
    async tree(path) {
      return existsSync(at(path)) ? records(Buffer.from(at(path))) : undefined;
    },
    async *archive(path, names) {
      const child = Bun.spawn(
        [
          "tar",
          "-cf",
          "-",
          "--format=pax",
          "--no-recursion",
          "--null",
          "--ignore-failed-read",
          "-T",
          "-",
        ],
        {
          cwd: at(path),
          stdin: Buffer.from(names.map((name) => `./${name}\0`).join(""), "latin1"),
          stdout: "pipe",
          stderr: "ignore",
        },
      );
      for await (const chunk of child.stdout) yield chunk;
    },
    async extract(path, chunks) {
      mkdirSync(at(path), { recursive: true });
      const child = Bun.spawn(["tar", "-xpf", "-", "-C", at(path)], {
        stdin: "pipe",
        stderr: "pipe",
      });
      try {
        for await (const chunk of chunks) {
          guest.received_bytes += chunk.length;
          guest.onChunk?.(guest.received_bytes);
          child.stdin.write(chunk);
          await child.stdin.flush();
        }
      } finally {
        await child.stdin.end();
        await child.exited;
      }
      if (child.exitCode !== 0) throw new Error(await new Response(child.stderr).text());
    },
    async remove(path, name) {
      const bytes = Buffer.concat([Buffer.from(`${at(path)}/`), Buffer.from(name, "latin1")]);
      rmSync(bytes, { recursive: true, force: true });
    },
    async mkdir(path) {
      mkdirSync(at(path), { recursive: true });
    },
  };
  return guest;
}

async function* records(top: Buffer): AsyncGenerator<Uint8Array> {
  yield* recordsBelow(top, "");
}

function* recordsBelow(path: Buffer, name: string): Generator<Uint8Array> {
  const info = lstatSync(path, { bigint: true });
  const ns = info.mtimeNs % 1_000_000_000n;
  const time = `${info.mtimeNs / 1_000_000_000n}.${String(ns).padStart(9, "0")}`;
  const head = `${info.mode.toString(8)} ${info.size} ${time} ${name}\0`;
  const target = info.isSymbolicLink()
    ? `${readlinkSync(path, { encoding: "buffer" }).toString("latin1")}\0`
    : "";
  yield Buffer.from(head + target, "latin1");
  if (!info.isDirectory()) return;
  for (const child of readdirSync(path, { encoding: "buffer" })) {
    const below = Buffer.concat([path, Buffer.from("/"), child]);
    yield* recordsBelow(below, `${name}/${child.toString("latin1")}`);
  }
}
