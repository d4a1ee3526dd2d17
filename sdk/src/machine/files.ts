/** Files in a machine. Paths are the guest's; relative ones start at "/". */
import { finish } from "#sdk/stream.ts";
import type {
  CallOptions,
  DirectoryEntry,
  FileChange,
  FileInfo,
  FilesCopied,
  WorkOptions,
} from "#sdk/types.ts";
import type { Target } from "./command.ts";

interface AsUser extends CallOptions {
  /** Guest user, with an optional ":group". Default: root. */
  user?: string | undefined;
}

export class Files {
  readonly #target: Target;

  /** @internal */
  constructor(target: Target) {
    this.#target = target;
  }

  async stat(path: string, { user, signal }: AsUser = {}): Promise<FileInfo> {
    return await this.#api.stat({ name: this.#vm, path, user }, { signal });
  }

  async list(path: string, { user, signal }: AsUser = {}): Promise<DirectoryEntry[]> {
    return await this.#api.list({ name: this.#vm, path, user }, { signal });
  }

  /** Reads a whole file of any size. */
  async read(path: string, { user, signal }: AsUser = {}): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    const stream = this.#target.connection.open(
      { kind: "read", vm: this.#vm, path, user },
      { signal, onStdout: (bytes) => void chunks.push(bytes) },
    );
    await stream.exited;
    return joined(chunks);
  }

  /** Reads a whole file as UTF-8. */
  async readText(path: string, options: AsUser = {}): Promise<string> {
    return new TextDecoder().decode(await this.read(path, options));
  }

  /** Writes a file of any size; its directory must exist. `mode`: default that of the existing file, or 0644. */
  async write(
    path: string,
    data: string | Uint8Array,
    { user, signal, mode }: AsUser & { mode?: number | undefined } = {},
  ): Promise<void> {
    const stream = this.#target.connection.open(
      { kind: "write", vm: this.#vm, path, user, mode },
      { signal },
    );
    await stream.writeStdin(typeof data === "string" ? new TextEncoder().encode(data) : data);
    stream.endStdin();
    await stream.exited;
  }

  /** Creates a directory. `parents`: as `mkdir -p` does. */
  async mkdir(
    path: string,
    options: AsUser & { mode?: number | undefined; parents?: boolean | undefined } = {},
  ): Promise<void> {
    const { signal, ...rest } = options;
    await this.#api.mkdir({ name: this.#vm, path, ...rest }, { signal });
  }

  /** Removes a path. `recursive`: a directory with its contents; `force`: ignore a missing path. */
  async remove(
    path: string,
    options: AsUser & { recursive?: boolean | undefined; force?: boolean | undefined } = {},
  ): Promise<void> {
    const { signal, ...rest } = options;
    await this.#api.remove({ name: this.#vm, path, ...rest }, { signal });
  }

  /** Streams changes at the path and, with `recursive`, below it, until the loop ends. The first has kind "ready". */
  async *watch(
    path: string,
    options: AsUser & { recursive?: boolean | undefined } = {},
  ): AsyncGenerator<FileChange, void, undefined> {
    const { signal, ...rest } = options;
    yield* await this.#api.watch({ name: this.#vm, path, ...rest }, { signal });
  }

  /** Copies a file or directory from the daemon's host into the machine, as `cp -a` does. */
  async copyIn(
    hostPath: string,
    path: string,
    { user, signal, onProgress }: AsUser & WorkOptions = {},
  ): Promise<FilesCopied> {
    const input = { name: this.#vm, path, user, from: hostPath };
    return await finish(this.#api.copyIn(input, { signal }), onProgress);
  }

  /** Copies a file or directory from the machine to the daemon's host. */
  async copyOut(
    path: string,
    hostPath: string,
    { user, signal, onProgress }: AsUser & WorkOptions = {},
  ): Promise<FilesCopied> {
    const input = { name: this.#vm, path, user, to: hostPath };
    return await finish(this.#api.copyOut(input, { signal }), onProgress);
  }

  get #api() {
    return this.#target.connection.client.file;
  }

  get #vm() {
    return this.#target.vm;
  }
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}
