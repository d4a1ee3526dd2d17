/**
 * A guest's last word. It tells on a way of its own that it ends because it was told to (guest/wire/goodbye.h);
 * a guest that was reset without it has crashed. Neither monitor tells the two apart by itself.
 */
import type { Duplex } from "node:stream";
import { hasPanic, panicReason } from "./console.ts";
import type { ExitReason } from "./driver.ts";

/** "leaving": all of its processes were ended, and what comes next is the init's affair. */
const WORDS = ["poweroff", "reboot", "leaving"] as const;
type Word = (typeof WORDS)[number];

/** "poweroff\n" takes 9. */
const LINE_MAX_BYTES = 16;
const ANSWER = "\n";

/** The kernel prints this for every reboot that a program has asked for, however quiet it is, and for no other reset. */
const RESTARTING = "reboot: Restarting system";
const CRASH_DETAIL = "the guest was reset without shutting down";

export class Goodbye {
  #word: Word | undefined;
  readonly #streams = new Set<Duplex>();

  /** The latest that was said. */
  get word(): Word | undefined {
    return this.#word;
  }

  /** Hears and answers what comes on a stream to the guest. */
  listen(stream: Duplex): void {
    let line = "";
    this.#streams.add(stream);
    stream.on("error", () => {});
    stream.once("close", () => this.#streams.delete(stream));
    stream.on("data", (chunk: Uint8Array) => {
      for (const char of Buffer.from(chunk).toString("latin1")) {
        if (char !== "\n") {
          if (line.length < LINE_MAX_BYTES) line += char;
          continue;
        }
        this.#word = WORDS.find((word) => word === line) ?? this.#word;
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
