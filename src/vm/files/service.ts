/** Files of machines as the daemon offers them. */
import { posix } from "node:path";
import { Readable } from "node:stream";
import type { DirectoryEntry, FileCopied, FileInfo } from "#api/file.ts";
import { BangerError } from "#base/error.ts";
import type { WorkOptions } from "#base/progress.ts";
import type { PathChange } from "#guest/changes.ts";
import type { FileSink, FileInfo as GuestFileInfo, TarSink } from "#guest/files.ts";
import type { ProgramOptions } from "#guest/program.ts";
import type { VmService } from "#vm/service.ts";
import { copyIn, copyOut, type FileRequest, openFolder } from "./copy.ts";
import { StoppedDisk, type StoppedDisks } from "./stopped.ts";

/** Every request names its machine and a path in it; `user` is as whom it is done, default root. */
export class VmFiles {
  readonly #vms: Pick<VmService, "guests" | "stoppedDisks">;

  constructor(vms: Pick<VmService, "guests" | "stoppedDisks">) {
    this.#vms = vms;
  }

  async stat(request: FileRequest, signal?: AbortSignal): Promise<FileInfo> {
    const { files, options } = await this.#open(request, "look into", signal);
    return toApi(await files.stat(absolute(request.path), options));
  }

  /** In the order of the names. */
  async list(request: FileRequest, signal?: AbortSignal): Promise<DirectoryEntry[]> {
    const { files, options } = await this.#open(request, "look into", signal);
    const entries = await files.list(absolute(request.path), options);
    return entries
      .map(({ name, ...info }) => ({ name, ...toApi(info) }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async read(
    request: FileRequest & { offset?: number | undefined; length_bytes?: number | undefined },
    options: { max_bytes: number; signal?: AbortSignal | undefined },
  ): Promise<Uint8Array> {
    const { files, ...rest } = await this.#open(request, "read from", options.signal);
    const { offset = 0, length_bytes = options.max_bytes } = request;
    const piece = { offset, length_bytes, max_bytes: options.max_bytes };
    return await files.readFile(absolute(request.path), { ...rest.options, ...piece });
  }

  async readStream(request: FileRequest, signal?: AbortSignal): Promise<Readable> {
    const { files, options } = await this.#open(request, "read from", signal);
    return await files.readStream(absolute(request.path), options);
  }

  async write(
    request: FileRequest & { data: Uint8Array; mode?: number | undefined },
    signal?: AbortSignal,
  ): Promise<void> {
    const { files, options } = await this.#open(request, "write to", signal);
    const mode = request.mode === undefined ? {} : { mode: request.mode };
    await files.writeFile(absolute(request.path), request.data, { ...options, ...mode });
  }

  /** Takes the place of the file once all of it is there. */
  async writeStream(
    request: FileRequest & { mode?: number | undefined },
    signal?: AbortSignal,
  ): Promise<FileSink> {
    const { files, options } = await this.#open(request, "write to", signal);
    const mode = request.mode === undefined ? {} : { mode: request.mode };
    return await files.writeStream(absolute(request.path), { ...options, ...mode });
  }

  async mkdir(
    request: FileRequest & { mode?: number | undefined; parents?: boolean | undefined },
    signal?: AbortSignal,
  ): Promise<void> {
    const { files, options } = await this.#open(request, "write to", signal);
    const { mode, parents = false } = request;
    const wanted = { parents, mode };
    await files.mkdir(absolute(request.path), { ...options, ...wanted });
  }

  async remove(
    request: FileRequest & { recursive?: boolean | undefined; force?: boolean | undefined },
    signal?: AbortSignal,
  ): Promise<void> {
    const path = absolute(request.path);
    if (posix.normalize(`${path}/`) === "/") {
      throw new BangerError("invalid_argument", `Cannot remove "/" in "${request.name}"`, {
        hint: `To remove the machine, run: banger vm rm ${request.name}`,
      });
    }
    const { files, options } = await this.#open(request, "write to", signal);
    const { recursive = false, force = false } = request;
    try {
      await files.remove(path, { ...options, recursive });
    } catch (error) {
      if (!(force && error instanceof BangerError && error.code === "not_found")) throw error;
    }
  }

  /** The tree, or files of it, as a tar archive, as the guest makes it. Files of a stopped machine are on its disk. */
  async archive(
    request: FileRequest & { names?: readonly string[] | undefined },
    signal?: AbortSignal,
  ): Promise<Readable> {
    const path = absolute(request.path);
    const { names } = request;
    const stopped = names && this.#vms.stoppedDisks(request.name);
    if (stopped) return onDisk(stopped, (disk) => disk.archive(path, names));
    const { files, options } = await this.#open(request, "copy from", signal);
    if (request.names) return await files.readTarOf(path, request.names, options);
    return await files.readTar(path, options);
  }

  /** Names and attributes of everything below a directory, as the guest gives them. */
  async tree(request: FileRequest, signal?: AbortSignal): Promise<Readable> {
    const stopped = this.#vms.stoppedDisks(request.name);
    if (stopped) return onDisk(stopped, (disk) => disk.tree(absolute(request.path)));
    const { files, options } = await this.#open(request, "look into", signal);
    return await files.readTree(absolute(request.path), options);
  }

  /** Takes a tar archive apart below the folder. */
  async extract(request: FileRequest, signal?: AbortSignal): Promise<TarSink> {
    const { files, options } = await this.#open(request, "copy to", signal);
    const owner = request.user === undefined ? "keep" : "self";
    await openFolder(files, { ...request, folder: absolute(request.path) }, signal);
    return await files.writeTar(absolute(request.path), { ...options, owner });
  }

  async copyIn(request: FileRequest & { from: string }, work: WorkOptions): Promise<FileCopied> {
    const { files } = await this.#open(request, "copy to", work.signal);
    return await copyIn(files, { ...request, path: absolute(request.path) }, work);
  }

  async copyOut(request: FileRequest & { to: string }, work: WorkOptions): Promise<FileCopied> {
    const { files } = await this.#open(request, "copy from", work.signal);
    return await copyOut(files, { ...request, path: absolute(request.path) }, work);
  }

  async *watch(
    request: FileRequest & { recursive?: boolean | undefined },
    signal?: AbortSignal,
  ): AsyncGenerator<PathChange> {
    const agent = await this.#vms.guests.agent(request.name, "watch", signal);
    const { recursive = false, user } = request;
    yield* agent.watch(absolute(request.path), { user, recursive, signal });
  }

  async #open({ name, user }: FileRequest, verb: string, signal: AbortSignal | undefined) {
    const agent = await this.#vms.guests.agent(name, verb, signal);
    const options: ProgramOptions = { user, signal };
    return { files: agent.files, options };
  }
}

function onDisk(
  disks: StoppedDisks,
  read: (disk: StoppedDisk) => AsyncIterable<Uint8Array>,
): Readable {
  return Readable.from(
    (async function* () {
      using disk = new StoppedDisk(disks);
      yield* read(disk);
    })(),
  );
}

function absolute(path: string): string {
  return path.startsWith("/") ? path : `/${path}`;
}

function toApi({ mtime_unix_ns, ...rest }: GuestFileInfo): FileInfo {
  return { ...rest, modifiedAt: timeText(Number(mtime_unix_ns / 1_000_000n)) };
}

/** A guest may have files of any year; a date has four digits. */
function timeText(unix_ms: number): string {
  const first_ms = Date.UTC(1, 0, 1);
  const last_ms = Date.UTC(9999, 11, 31);
  return new Date(Math.max(first_ms, Math.min(last_ms, unix_ms))).toISOString();
}
