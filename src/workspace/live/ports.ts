/** What a mirror needs of a machine besides its files. */
import type { GuestPort } from "#workspace/guest/port.ts";

export interface GuestChange {
  /** `ready`: from here on nothing is missed; `overflow`: something was. */
  kind: "ready" | "created" | "changed" | "attributes" | "removed" | "overflow";
  /** Below the watched directory, as bytes; "" for itself. Undefined if it cannot be told exactly. */
  name: string | undefined;
  isFolder: boolean;
}

export interface LivePort extends GuestPort {
  watch(path: string, signal: AbortSignal): AsyncIterable<GuestChange>;
  /** Removes a directory of the workspace if it is empty. */
  removeEmpty(path: string, name: string): Promise<void>;
  /** Undefined while it can be reached, else its state, such as "stopped" or "removed". */
  ended(): Promise<string | undefined>;
}
