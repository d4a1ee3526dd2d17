/** A directory of the host that stands in for a machine that reports changes. */
import { rmdirSync, watch } from "node:fs";
import { join } from "node:path";
import { onAbort } from "#base/abort.ts";
import { type FolderGuest, folderGuest } from "#test/workspace-folder.ts";
import type { GuestChange, LivePort } from "#workspace/live/ports.ts";

export interface LiveFolder extends FolderGuest, LivePort {
  /** What the machine has become; undefined while it runs. */
  state: string | undefined;
  /** Ends all watches, as a lost connection does. */
  disconnect(): void;
  /** Made up, for a hostile machine. */
  report(change: GuestChange): void;
}

export function liveFolder(root: string): LiveFolder {
  const feeds = new Set<ReadableStreamDefaultController<GuestChange>>();
  const guest = folderGuest(root) as LiveFolder;
  return Object.assign(guest, {
    state: undefined,
    disconnect() {
      for (const feed of feeds) feed.close();
      feeds.clear();
    },
    report(change: GuestChange) {
      for (const feed of feeds) feed.enqueue(change);
    },
    async *watch(path: string, signal: AbortSignal) {
      const stream = new ReadableStream<GuestChange>({
        start: (controller) => void feeds.add(controller),
      });
      const watcher = watch(guest.at(path), { recursive: true }, (event, name) => {
        const change = event === "rename" ? "created" : "changed";
        const text = name === null ? undefined : Buffer.from(String(name)).toString("latin1");
        guest.report({ kind: change, name: text, isFolder: false });
      });
      using _ = onAbort(signal, () => guest.disconnect());
      try {
        yield { kind: "ready", name: "", isFolder: false } as const;
        yield* stream;
      } finally {
        watcher.close();
      }
    },
    async removeEmpty(path: string, name: string) {
      try {
        rmdirSync(join(guest.at(path), name));
      } catch {
        // Not empty.
      }
    },
    ended: async () => guest.state,
  });
}
