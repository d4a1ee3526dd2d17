/**
 * A guest's last word. It tells on a way of its own that it ends because it was told to (guest/wire/goodbye.h);
 * a guest that was reset without it has crashed. Neither VMM tells the two apart by itself.
 */
import type { Duplex } from "node:stream";
import { hasPanic, panicReason } from "./console.ts";
import type { ExitReason } from "./driver.ts";

/** "leaving": all of its processes were ended, and what comes next is the init's affair. */
const WORDS = ["poweroff", "reboot", "leaving"] as const;
type Word = (typeof WORDS)[number];

/** "poweroff\n" takes 9. */
const LINE_MAX_BYTES = 16;
/** A guest says a word or two; one that goes on is heard no longer, and gets no more answers. */
const STREAM_MAX_BYTES = 4096;
/** Any user of a guest can connect to a vsock port: the latest are heard. */
const STREAMS_MAX = 8;
/**
 * A guest that runs on for so long after its word does not end by it: it has only restarted its programs or
 * loaded another kernel, or somebody in it has lied. An init may take minutes to write its disks.
 */
const WORD_HOLDS_MS = 5 * 60_000;
const ANSWER = "\n";

/** The kernel prints this for every reboot that a program has asked for, however quiet it is, and for no other reset. */
const RESTARTING = "reboot: Restarting system";
const CRASH_DETAIL = "the guest was reset without shutting down";

export class Goodbye {
  #said: { word: Word; at_ms: number } | undefined;
  readonly #now_ms: () => number;
  readonly #streams = new Set<Duplex>();

  /** `now_ms`: a clock that only goes forward. */
  constructor({ now_ms = () => performance.now() } = {}) {
    this.#now_ms = now_ms;
  }

  /** The latest that was said, unless the guest has run on since. */
  get word(): Word | undefined {
    const { word, at_ms = 0 } = this.#said ?? {};
    return this.#now_ms() - at_ms < WORD_HOLDS_MS ? word : undefined;
  }

  /** Hears and answers what comes on a stream to the guest. */
  listen(stream: Duplex): void {
    let line = "";
    let heard_bytes = 0;
    this.#streams.add(stream);
    const [oldest] = this.#streams;
    if (oldest && this.#streams.size > STREAMS_MAX) {
      this.#streams.delete(oldest);
      oldest.destroy();
    }
    stream.on("error", () => {});
    stream.once("close", () => this.#streams.delete(stream));
    stream.on("data", (chunk: Uint8Array) => {
      heard_bytes += chunk.length;
      if (heard_bytes > STREAM_MAX_BYTES) {
        stream.destroy();
        return;
      }
      for (const char of Buffer.from(chunk).toString("latin1")) {
        if (char !== "\n") {
          if (line.length < LINE_MAX_BYTES) line += char;
          continue;
        }
        const said = WORDS.find((word) => word === line);
        if (said) this.#said = { word: said, at_ms: this.#now_ms() };
        line = "";
        stream.write(ANSWER);
      }
    });
  }

  /** Resolves when everything that a guest which is gone has said was heard. */
  async complete(): Promise<void> {
    await Promise.all(
      [...this.#streams].map((stream) => new Promise((resolve) => stream.once("close", resolve))),
    );
  }

  close(): void {
    for (const stream of this.#streams) stream.destroy();
  }
}

export interface LastWord {
  word: Word | undefined;
  /** Whether this guest says goodbye, and somebody was there to hear it. */
  isHeard: boolean;
}

export interface Reset extends LastWord {
  /** End of the guest's console in this boot. */
  consoleText: string;
}

/** How a guest ended that has reset itself, or was reset by what went wrong in it. */
export function resetReason({ word, isHeard, consoleText }: Reset): ExitReason {
  if (word === "poweroff" || word === "reboot") return { kind: word };
  if (hasPanic(consoleText)) return panicReason(consoleText);
  if (word === "leaving" || consoleText.includes(RESTARTING)) return { kind: "reboot" };
  return isHeard ? { kind: "crashed", detail: CRASH_DETAIL } : { kind: "unknown" };
}
