/** Whether a full-screen program has the terminal, read from what the terminal is sent. */

const ESCAPE = "\x1b";
/** xterm's private modes 47, 1047 and 1049, alone or among others; and a full reset. */
const SWITCH = new RegExp(`${ESCAPE}(?:\\[\\?(?:\\d+;)*(?:47|1047|1049)(?:;\\d+)*([hl])|c)`, "g");
/** Bytes of the longest sequence that is put together from two chunks. */
const SEQUENCE_MAX = 32;

export class AlternateScreen {
  isOn = false;
  /** The end of the last chunk, where a sequence may have begun. */
  #begun = "";

  see(chunk: Uint8Array): void {
    const text = this.#begun + Buffer.from(chunk).toString("latin1");
    for (const [, mode] of text.matchAll(SWITCH)) this.isOn = mode === "h";
    const last = text.lastIndexOf(ESCAPE);
    this.#begun = last >= 0 && text.length - last < SEQUENCE_MAX ? text.slice(last) : "";
  }
}
