/** Files from the browser into a machine and back, of any length, over streams with flow control. */
import type { Vm } from "#api/vm.ts";
import { openStream } from "#web/link/daemon.ts";
import { runTask } from "#web/link/tasks.ts";

const BASE64_PIECE = 32 * 1024;

export async function upload({ id, name }: Vm, path: string, file: File): Promise<void> {
  const label = `Upload ${file.name} to ${name}`;
  await runTask(
    label,
    async ({ signal, onProgress }) => {
      const connection = openStream({ kind: "write", vm: id, path }, { signal });
      const total = file.size;
      let done = 0;
      const reader = file.stream().getReader();
      for (;;) {
        const { done: isOver, value } = await reader.read();
        if (isOver) break;
        if (!(await connection.writeStdin(value))) break;
        done += value.length;
        onProgress({ step: "upload", message: `${percentOf(done, total)}%`, done, total });
      }
      await reader.cancel();
      connection.endStdin();
      await connection.exited;
    },
    { isLong: true },
  );
}

export async function download({ id }: Vm, path: string, total: number): Promise<void> {
  const name = path.split("/").at(-1) ?? "file";
  await runTask(
    `Download ${name}`,
    async ({ signal, onProgress }) => {
      const chunks: Uint8Array<ArrayBuffer>[] = [];
      let done = 0;
      const connection = openStream(
        { kind: "read", vm: id, path },
        {
          signal,
          onStdout(bytes) {
            chunks.push(new Uint8Array(bytes));
            done += bytes.length;
            onProgress({ step: "download", message: `${percentOf(done, total)}%`, done, total });
          },
        },
      );
      await connection.exited;
      saveFile(new Blob(chunks), name);
    },
    { isLong: true },
  );
}

/** By a link, since the request itself needs the key of the login. */
export function saveFile(blob: Blob, name: string): void {
  const href = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = href;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
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
