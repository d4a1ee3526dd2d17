/** Changes below a folder: as a stream, and kept for clients that ask for them now and then. */
import { randomBytes } from "node:crypto";
import { posix } from "node:path";
import { z } from "zod";
import { BangerError } from "#base/error.ts";
import { ConnectError, toConnectError } from "./connect.ts";
import type { Filesystem, User } from "./filesystem.ts";
import { alive, type StreamOptions } from "./processes.ts";
import { Subscription } from "./subscription.ts";
import type { Guests, Target } from "./target.ts";

/** A file that the agent writes has such a name until it is whole. */
const STAGED = /\.banger-\d+$/;
const WATCHERS_MAX = 256;
/** Unread events of one watcher; later ones are dropped, as inotify does when its queue is full. */
const EVENTS_MAX = 4096;
/** A client that asks for nothing for so long has gone. */
const UNREAD_MAX_MS = 3_600_000;

export const watchRequest = z.object({
  path: z.string().max(4095).optional(),
  recursive: z.boolean().optional(),
  includeEntry: z.boolean().optional(),
  allowNetworkMounts: z.boolean().optional(),
});
type WatchRequest = z.infer<typeof watchRequest>;
export const watcherRequest = z.object({ watcherId: z.string() });

const types: Readonly<Record<string, string>> = {
  created: "EVENT_TYPE_CREATE",
  changed: "EVENT_TYPE_WRITE",
  removed: "EVENT_TYPE_REMOVE",
  attributes: "EVENT_TYPE_CHMOD",
};

interface Watcher {
  vm: string;
  events: object[];
  failure: unknown;
  abort: AbortController;
  timer: NodeJS.Timeout;
}

export class Watchers {
  readonly #guests: Guests;
  readonly #filesystem: Filesystem;
  readonly #watchers = new Map<string, Watcher>();

  constructor(guests: Guests, filesystem: Filesystem) {
    this.#guests = guests;
    this.#filesystem = filesystem;
  }

  async *watchDir(
    target: Target,
    request: WatchRequest,
    { user, timeout_ms, keepalive_s }: StreamOptions & { user: User },
  ): AsyncGenerator<unknown, void> {
    const reader = new Subscription();
    const abort = new AbortController();
    const late = (): void => {
      const text = `timed out after ${timeout_ms} ms`;
      reader.end(new ConnectError("deadline_exceeded", text));
    };
    const timer = timeout_ms === undefined ? undefined : setTimeout(late, timeout_ms);
    await this.#follow(target, request, {
      user,
      abort,
      onReady: () => void reader.push({ start: {} }),
      onEvent: (filesystem) => reader.push({ filesystem }, JSON.stringify(filesystem).length),
      onEnd: (error) => reader.end(error),
    });
    yield* alive(reader, { keepalive_s, sign: { keepalive: {} } }, () => {
      clearTimeout(timer);
      abort.abort();
    });
  }

  async create(target: Target, request: WatchRequest, user: User) {
    if (this.#watchers.size >= WATCHERS_MAX) {
      throw new ConnectError("failed_precondition", `more than ${WATCHERS_MAX} watchers`);
    }
    const id = randomBytes(12).toString("hex");
    const abort = new AbortController();
    const watcher: Watcher = {
      vm: target.vm.id,
      events: [],
      failure: undefined,
      abort,
      timer: setTimeout(() => this.#drop(id), UNREAD_MAX_MS),
    };
    await this.#follow(target, request, {
      user,
      abort,
      onReady: () => {},
      async onEvent(event) {
        if (watcher.events.length < EVENTS_MAX) watcher.events.push(event);
      },
      onEnd: (error) => {
        watcher.failure = error;
      },
    });
    this.#watchers.set(id, watcher);
    return { watcherId: id };
  }

  events(target: Target, { watcherId }: z.infer<typeof watcherRequest>) {
    const watcher = this.#find(target, watcherId);
    watcher.timer.refresh();
    const events = watcher.events.splice(0);
    if (events.length === 0 && watcher.failure !== undefined) throw toConnectError(watcher.failure);
    return { events };
  }

  remove(target: Target, { watcherId }: z.infer<typeof watcherRequest>) {
    this.#find(target, watcherId);
    this.#drop(watcherId);
    return {};
  }

  #find({ vm }: Target, id: string): Watcher {
    const watcher = this.#watchers.get(id);
    if (watcher?.vm === vm.id) return watcher;
    throw new ConnectError("not_found", `watcher with id "${id.slice(0, 64)}" not found`);
  }

  #drop(id: string): void {
    const watcher = this.#watchers.get(id);
    clearTimeout(watcher?.timer);
    watcher?.abort.abort();
    this.#watchers.delete(id);
  }

  /** Resolves when nothing is missed any more. */
  async #follow(target: Target, request: WatchRequest, sink: WatchSink): Promise<void> {
    const { backend, vm } = target;
    const { user, abort } = sink;
    const path = await this.#guests.resolve(target, request.path ?? "", user);
    await this.#filesystem.assertFolder(target, path, user);
    const { recursive = false, includeEntry = false } = request;
    const chosen = user ?? (await this.#guests.defaults(target)).user;
    const changes = await backend.client.file.watch(
      { name: vm.id, path, recursive, ...(chosen ? { user: chosen } : {}) },
      { signal: abort.signal },
    );
    const ready = Promise.withResolvers<void>();
    const entryOf = async (own: string) => {
      try {
        return { entry: await this.#filesystem.entry(target, own, user) };
      } catch (error) {
        // It may have gone again.
        if (error instanceof BangerError) return {};
        throw error;
      }
    };
    const follow = async (): Promise<void> => {
      let staged: string | undefined;
      for await (const change of changes) {
        if (change.kind === "ready") {
          sink.onReady();
          ready.resolve();
          continue;
        }
        const own = change.path;
        if (STAGED.test(own)) {
          if (change.kind === "removed") staged = own.replace(STAGED, "");
          continue;
        }
        // A file that took its place has been written as well.
        const isWritten = change.kind === "created" && own === staged;
        if (isWritten) staged = undefined;
        const kinds = isWritten ? ["created", "changed"] : [change.kind];
        const entry = includeEntry ? await entryOf(own) : {};
        for (const kind of kinds) {
          const type = types[kind];
          if (type) await sink.onEvent({ name: posix.relative(path, own), type, ...entry });
        }
      }
    };
    follow().then(
      () => sink.onEnd(undefined),
      (error: unknown) => {
        ready.reject(error);
        sink.onEnd(abort.signal.aborted ? undefined : error);
      },
    );
    await ready.promise;
  }
}

interface WatchSink {
  user: User;
  abort: AbortController;
  onReady(): void;
  onEvent(event: object): Promise<void>;
  onEnd(error: unknown): void;
}
