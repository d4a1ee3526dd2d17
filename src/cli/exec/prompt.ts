/** Asks the user about destinations of machines, on a terminal that is also used for something else. */
import type { PolicyAnswer, PolicyQuestion } from "#api/network.ts";
import { messageOf } from "#base/error.ts";
import { writeErr } from "#base/stdio.ts";
import { questionText } from "#cli/print/network.ts";
import type { Client } from "#sdk/client.ts";
import type { AlternateScreen } from "./alternate-screen.ts";

const ANSWERS: Readonly<Record<string, Omit<PolicyAnswer, "id">>> = {
  o: { allow: true, scope: "once" },
  m: { allow: true, scope: "machine" },
  a: { allow: true, scope: "always" },
  n: { allow: false, scope: "once" },
  d: { allow: false, scope: "machine" },
};
const CHOICES = "o: once, m: this machine, a: always, n: no, d: deny for this machine; then Enter";

const BELL = "\x07";

export interface PromptOptions {
  signal: AbortSignal;
  /** Only questions of this machine. */
  vm?: string;
  /** Of the terminal, if programs have it as well. */
  screen?: AlternateScreen;
  write?: (text: string) => Promise<void> | void;
}

export class Prompt {
  readonly #client: Pick<Client, "policy">;
  readonly #options: PromptOptions;
  #open: PolicyQuestion[] = [];
  #shown: PolicyQuestion | undefined;
  /** The question that was last answered here. */
  #answered: string | undefined;
  /** What was typed since the last Enter, which may be the beginning of an answer. */
  #typed = "";
  /** The last question that rang where it could not be shown. */
  #rung: string | undefined;

  constructor(client: Pick<Client, "policy">, options: PromptOptions) {
    this.#client = client;
    this.#options = options;
  }

  /** Until the signal fires, or the daemon has gone. Never rejects. */
  async watch(): Promise<void> {
    const { signal, vm } = this.#options;
    try {
      for await (const open of await this.#client.policy.watch(undefined, { signal })) {
        this.#open = open.filter((each) => vm === undefined || each.vm === vm);
        this.refresh();
      }
    } catch {
      // The command itself tells what is wrong.
    }
  }

  /**
   * To be called when the screen may have changed: nothing is written over a full-screen program. A question rings
   * there, and is shown once the program has left, if it is still open.
   */
  refresh(): void {
    const [question] = this.#open;
    if (this.#isCovered()) {
      if (question && question.id !== this.#rung) this.#write(BELL);
      this.#rung = question?.id;
      // What was shown before the program came is out of sight.
      this.#shown = undefined;
      return;
    }
    const before = this.#shown;
    if (question?.id === before?.id) return;
    this.#shown = question;
    if (before && before.id !== this.#answered) this.#write(`\r\n${goneText(before)}\r\n`);
    if (question) this.#write(`\r\n${questionText(question)}\r\n(${CHOICES}) `);
  }

  /** What was typed and is no answer, for whoever else reads the terminal. */
  take(chunk: Uint8Array): Uint8Array {
    const question = this.#shown;
    if (!question || this.#isCovered()) return this.#flush(chunk);
    const text = this.#typed + Buffer.from(chunk).toString("latin1");
    this.#typed = "";
    const [, letter = ""] = /^([a-zA-Z])[\r\n]+$/.exec(text) ?? [];
    const answer = ANSWERS[letter.toLowerCase()];
    if (answer) {
      this.#write(`${letter}\r\n`);
      this.#answered = question.id;
      void this.#answer({ id: question.id, ...answer });
      return new Uint8Array();
    }
    // One letter alone: Enter may follow. Anything else is typing that was under way.
    if (text.length === 1 && ANSWERS[text.toLowerCase()]) {
      this.#typed = text;
      return new Uint8Array();
    }
    return Buffer.from(text, "latin1");
  }

  #flush(chunk: Uint8Array): Uint8Array {
    const typed = this.#typed;
    this.#typed = "";
    return typed === "" ? chunk : Buffer.concat([Buffer.from(typed, "latin1"), chunk]);
  }

  async #answer(answer: PolicyAnswer): Promise<void> {
    const { signal } = this.#options;
    try {
      await this.#client.policy.answer(answer, { signal });
    } catch (error) {
      this.#write(`${messageOf(error)}\r\n`);
    }
  }

  #isCovered(): boolean {
    return this.#options.screen?.isOn === true;
  }

  #write(text: string): void {
    void (this.#options.write ?? writeErr)(text);
  }
}

/** Of a question that nobody has answered here. */
function goneText({ expiresAt }: PolicyQuestion): string {
  const isLate = Date.parse(expiresAt) <= Date.now();
  return isLate ? "No answer in time: denied" : "Answered elsewhere, or no longer asked";
}
