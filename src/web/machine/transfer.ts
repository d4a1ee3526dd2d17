/** Files from the browser into a machine and back, of any length, over streams with flow control. */
import type { Vm } from "#api/vm.ts";
import { openStream } from "#web/link/daemon.ts";
import { runTask } from "#web/link/tasks.ts";
import { visibleName } from "#web/parts/visible.ts";
import { Pieces } from "./pieces.ts";

const BASE64_PIECE = 32 * 1024;

export async function upload({ id, name }: Vm, path: string, file: File): Promise<void> {
  const label = `Upload ${visibleName(file.name)} to ${name}`;
  await runTask(
    label,
    async ({ signal, onProgress }) => {
      const connection = openStream({ kind: "write", vm: id, path }, { signal });
      const total = file.size;
      let done = 0;
      const reader = file.stream().getReader();
      try {
        for (;;) {
          const { done: isOver, value } = await reader.read();
          if (isOver) break;
          if (!(await connection.writeStdin(value))) break;
          done += value.length;
          onProgress({ step: "upload", message: `${percentOf(done, total)}%`, done, total });
        }
      } catch (error) {
        // A directory, or a file that was changed meanwhile: what was sent of it must not become the file.
        connection.close();
        connection.exited.catch(() => {});
        throw {
          code: "browser",
          message: `Cannot read ${visibleName(file.name)}: ${reasonOf(error)}`,
        };
      } finally {
        await reader.cancel().catch(() => {});
      }
      connection.endStdin();
      await connection.exited;
    },
    { isLong: true },
  );
}

export async function download({ id }: Vm, path: string, total: number): Promise<void> {
  const name = path.split("/").at(-1) ?? "file";
  await runTask(
    `Download ${visibleName(name)}`,
    async ({ signal, onProgress }) => {
      const pieces = new Pieces();
      const connection = openStream(
        { kind: "read", vm: id, path },
        {
          signal,
          onStdout(bytes) {
            pieces.add(bytes);
            const done = pieces.size_bytes;
            onProgress({ step: "download", message: `${percentOf(done, total)}%`, done, total });
          },
        },
      );
      await connection.exited;
      saveFile(pieces.blob(), name);
    },
    { isLong: true },
  );
}

/** By a link, since the request itself needs the key of the login. */
export function saveFile(blob: Blob, name: string): void {
  const href = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = href;
  link.download = visibleName(name);
  link.click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

/** What browsers say of a directory names neither it nor the reason. */
function reasonOf(error: unknown): string {
  const isMissing = error instanceof DOMException && error.name === "NotFoundError";
  return isMissing ? "it is a directory, or no longer there" : String(error);
}

function percentOf(done: number, total: number): number {
  return total > 0 ? Math.min(100, Math.round((100 * done) / total)) : 0;
}

export function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += BASE64_PIECE) {
    binary += String.fromCharCode(...bytes.subarray(at, at + BASE64_PIECE));
  }
  return btoa(binary);
}

export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
