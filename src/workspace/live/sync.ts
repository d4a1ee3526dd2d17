/** Mirrors a directory of the host and a workspace of a machine, until it is interrupted or the machine ends. */
import { tmpdir } from "node:os";
import { orAborted, sleep, throwIfAborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import { isRepositoryAt, openRepository } from "#workspace/git/source.ts";
import { newMark } from "#workspace/guest/mark.ts";
import { type StagingFolder, stagingFolder } from "#workspace/staging.ts";
import type { Direction } from "./compare.ts";
import { GuestSide } from "./guest-side.ts";
import { HostSide } from "./host-scan.ts";
import { HostTree } from "./host-tree.ts";
import { HostWatch } from "./host-watch.ts";
import type { LivePort } from "./ports.ts";
import { type Carried, Round } from "./round.ts";
import { inodeOf, readBase, type SavedBase, writeBase } from "./state.ts";

/** Changes within this time are handled together. */
const QUIET_MS = 150;
const QUIET_MAX_MS = 2000;
const RETRY_MS = 500;
const RETRIES_MAX = 20;
/** Where the machine has more directories than its agent watches. */
const COMPARE_EVERY_MS = 10_000;

export interface SyncRequest {
  /** In the machine. */
  path: string;
  /** On the host. */
  source: string;
  direction: Direction;
  /** Of the import's record. */
  folder: string;
  /** Compares once, and waits for nothing. */
  once?: boolean | undefined;
}

export interface SyncWork {
  signal: AbortSignal;
  onCarried(carried: Carried): Promise<void> | void;
  onNote(text: string): void;
  /** Both sides are equal, as far as they can be. */
  onSettled?: (() => void) | undefined;
}

export async function syncWorkspace(
  port: LivePort,
  request: SyncRequest,
  work: SyncWork,
): Promise<void> {
  using scratch = stagingFolder(tmpdir(), "sync");
  const saved = readBase(request.folder, request.source);
  using staging = await stagingOf(request.source, work.signal);
  const places = { scratch: scratch.path, staging: staging?.path };
  await new Mirror(port, { request, work, ...places, ...saved }).run();
}

/** Where the user's git does not list it; undefined for what is no repository. */
async function stagingOf(top: string, signal: AbortSignal): Promise<StagingFolder | undefined> {
  if (!isRepositoryAt(top)) return undefined;
  const { gitDir } = await openRepository(top, signal);
  return stagingFolder(gitDir, "sync");
}

interface MirrorInput extends SavedBase {
  request: SyncRequest;
  work: SyncWork;
  scratch: string;
  staging: string | undefined;
}

class Mirror {
  readonly #port: LivePort;
  readonly #input: MirrorInput;
  readonly #host: HostSide;
  readonly #guest: GuestSide;
  readonly #top: string | undefined;
  #wake = Promise.withResolvers<void>();
  #lastChange_ms = 0;
  #comparesOften = false;
  #failures = 0;
  readonly #told = new Set<string>();
  /** Something has been mirrored since the last time that both sides were equal. */
  #isTold = true;

  constructor(port: LivePort, input: MirrorInput) {
    const { request, work, scratch } = input;
    this.#port = port;
    this.#input = input;
    this.#top = inodeOf(request.source);
    this.#host = new HostSide(request.source, work.signal);
    this.#guest = new GuestSide(port, {
      path: request.path,
      folder: scratch,
      repositories: () => this.#host.repositories,
    });
  }

  async run(): Promise<void> {
    const { request, work } = this.#input;
    await this.#port.mkdir(request.path);
    if (request.once) return await this.#retrying(() => this.#round());
    using hostWatch = new HostWatch({
      top: request.source,
      hidden: (names) => this.#host.hidden(names),
      onChange: () => this.#changed(),
    });
    const ends = new AbortController();
    const watching = this.#watchGuest(AbortSignal.any([ends.signal, work.signal]));
    try {
      // Whatever ends the watch ends the mirror.
      await Promise.race([this.#follow(hostWatch), watching]);
    } finally {
      ends.abort();
      await watching.catch(() => {});
    }
  }

  async #follow(hostWatch: HostWatch): Promise<never> {
    const { signal, onSettled } = this.#input.work;
    for (;;) {
      this.#wake = Promise.withResolvers();
      const isMore = await this.#retrying(async () => {
        const hasNew = await hostWatch.follow();
        await this.#round();
        return hasNew;
      });
      if (isMore) continue;
      if (this.#isTold) onSettled?.();
      this.#isTold = false;
      await orAborted(this.#next(), signal);
      await this.#quiet(signal);
    }
  }

  async #next(): Promise<void> {
    if (!this.#comparesOften) return await this.#wake.promise;
    await Promise.race([this.#wake.promise, sleep(COMPARE_EVERY_MS)]);
    this.#guest.invalidate();
  }

  async #quiet(signal: AbortSignal): Promise<void> {
    const until = performance.now() + QUIET_MAX_MS;
    for (;;) {
      const now = performance.now();
      const wait_ms = Math.min(this.#lastChange_ms + QUIET_MS, until) - now;
      if (wait_ms <= 0) return;
      await sleep(wait_ms, signal);
    }
  }

  #changed(): void {
    this.#lastChange_ms = performance.now();
    this.#wake.resolve();
  }

  async #round(): Promise<void> {
    const { request, work, scratch, staging, base } = this.#input;
    throwIfAborted(work.signal);
    this.#assertSameTop();
    const host = await this.#host.scan();
    await this.#guest.update((names) => this.#host.hidden(names));
    this.#assertSameTop();
    this.#assertNotEmpty(host.files.size);
    this.#checkMark();
    const round = new Round(this.#port, {
      ...{ path: request.path, direction: request.direction, scratch, base, host },
      ...{ top: request.source, tree: new HostTree(request.source, staging), told: this.#told },
      ...{ guest: this.#guest, hostSide: this.#host },
      signal: work.signal,
      onCarried: async (carried) => {
        this.#isTold = true;
        await work.onCarried(carried);
      },
    });
    const { isChanged, isUnsettled } = await round.run();
    if (isChanged) await this.#save();
    if (isUnsettled) throw new BangerError("conflict", "files change while they are mirrored");
    this.#failures = 0;
  }

  /** Never what the machine has not been marked with: a base that is too old is safe, one that is too new is not. */
  async #save(): Promise<void> {
    const { request, base } = this.#input;
    const { folder, source } = request;
    const mark = newMark();
    const keep = (by: string | undefined): void => {
      this.#input.mark = by;
      writeBase(folder, { source, base, mark: by });
    };
    try {
      await this.#guest.mark(mark, () => keep(mark));
    } catch (error) {
      // A file system that is mounted read-only, which is not set back by a crash either.
      const isReadOnly = error instanceof BangerError && !TRANSIENT.has(error.code);
      if (request.direction !== "from-vm" || !isReadOnly || error.code === "cancelled") throw error;
      keep(undefined);
    }
  }

  #checkMark(): void {
    const { base, mark, work } = this.#input;
    if (mark === undefined || base.size === 0 || this.#guest.hasMark(mark)) return;
    base.clear();
    this.#input.mark = undefined;
    work.onNote(
      "The machine's files are not those of the last run: it was killed, or set back to a snapshot. Nothing is removed, and files that differ are kept on both sides",
    );
  }

  /** Such as an empty mount point after an unmount. */
  #assertSameTop(): void {
    const { source } = this.#input.request;
    if (inodeOf(source) === this.#top) return;
    throw new BangerError("not_found", `Cannot mirror: "${source}" was removed or replaced`, {
      hint: "Nothing was removed in the machine. Run the command again when the directory is back",
    });
  }

  /** A directory that was lost, or a disk that was reset, is no reason to remove everything on the other side. */
  #assertNotEmpty(hostFiles: number): void {
    const { base, request } = this.#input;
    const { direction, path, source } = request;
    const isGuestEmpty = this.#guest.files.size === 0 && direction !== "to-vm";
    const isHostEmpty = hostFiles === 0 && direction !== "from-vm";
    if (base.size === 0 || !(isGuestEmpty || isHostEmpty)) return;
    const where = isGuestEmpty ? `"${path}" in the machine` : `"${source}"`;
    const flag = isGuestEmpty ? "--to-vm" : "--from-vm";
    throw new BangerError("not_found", `Cannot mirror: no files are left in ${where}`, {
      hint: `Nothing was removed on the other side. Mirror that side with ${flag}, or remove its files too`,
    });
  }

  /** Files that change while they are read, and connections that break, are no end. */
  async #retrying<T>(step: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await step();
      } catch (error) {
        await this.#assertTransient(error);
        this.#guest.invalidate();
        await sleep(RETRY_MS, this.#input.work.signal);
      }
    }
  }

  async #watchGuest(signal: AbortSignal): Promise<never> {
    const { path } = this.#input.request;
    const { onNote } = this.#input.work;
    for (;;) {
      try {
        let isReady = false;
        for await (const change of this.#port.watch(path, signal)) {
          isReady ||= change.kind === "ready";
          if (change.kind === "ready") this.#guest.invalidate();
          const isUnwatched = change.kind === "overflow" && (!isReady || change.name !== "");
          if (isUnwatched && !this.#comparesOften) {
            this.#comparesOften = true;
            onNote("Too many directories to watch in the machine: comparing every 10 s");
          }
          if (this.#guest.note(change) || change.kind === "ready") this.#changed();
          this.#failures = 0;
        }
        throwIfAborted(signal);
        throw new BangerError("unavailable", "the machine's watch ended");
      } catch (error) {
        throwIfAborted(signal);
        await this.#assertTransient(error);
        await sleep(RETRY_MS, signal);
      }
    }
  }

  async #assertTransient(error: unknown): Promise<void> {
    const { signal } = this.#input.work;
    throwIfAborted(signal);
    const code = error instanceof BangerError ? error.code : undefined;
    if (!error || !code || !TRANSIENT.has(code)) throw error;
    const state = await this.#port.ended();
    if (state !== undefined) {
      throw new BangerError("invalid_state", `the machine is ${state}: mirroring ended`, {
        hint: "Start the machine, then run the command again: it continues from here",
      });
    }
    if (code === "invalid_state" || ++this.#failures > RETRIES_MAX) throw error;
  }
}

/** A file that changed while it was read, or a connection to the machine or the daemon that broke. */
const TRANSIENT = new Set<string>(["conflict", "unavailable", "guest", "invalid_state", "timeout"]);
