/** The screen of one session. The terminal itself is loaded when it is first needed. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { ExecConnection } from "#api/serve/exec-client.ts";
import type { Vm } from "#api/vm.ts";
import { isDark } from "#web/app/theme.ts";
import { daemon, openStream } from "#web/link/daemon.ts";
import { type Failure, failureOf, isGone } from "#web/link/failure.ts";
import type { Emulator } from "./xterm.ts";

const RETRY_MS = 500;
/** Of what is typed while there is no connection. */
const UNSENT_MAX = 4096;
/** How a terminal answers what a program asks it: its position, kind, colours and settings. */
const ANSWER = /^(\[[?>]?[\d;]*\$?[Rcnty]|[P\]])/;
const ESCAPE = "\u001b";

interface ScreenProps {
  vm: Vm;
  session: string;
  onEnded: () => void;
  onLeave: () => void;
}

export function Screen({ vm, session, onEnded, onLeave }: ScreenProps) {
  const events = useRef({ onEnded, onLeave });
  events.current = { onEnded, onLeave };
  const ref = useRef<HTMLDivElement>(null);
  const emulator = useRef<Emulator | undefined>(undefined);
  const [notice, setNotice] = useState("");
  const [isSearching, setSearching] = useState(false);
  useEffect(() => {
    const link = new SessionLink(vm.id, session, {
      onNotice: setNotice,
      onEnded: () => events.current.onEnded(),
    });
    void import("./xterm.ts").then(({ openEmulator }) => {
      if (!ref.current || link.isOver) return;
      emulator.current = openEmulator(ref.current, {
        label: `Terminal ${session} of ${vm.name}`,
        isDark: isDark.peek(),
        onInput: (text, bytes) => link.send(text, bytes),
        onResize: (size) => link.resize(size),
        onSearch: () => setSearching(true),
        onLeave: () => events.current.onLeave(),
      });
      link.begin(emulator.current);
    });
    return () => {
      link.end();
      emulator.current?.dispose();
    };
  }, [vm.id, session]);
  const dark = isDark.value;
  useEffect(() => emulator.current?.setTheme(dark), [dark]);
  return (
    <div class="screen">
      <div ref={ref} class="screen-body" />
      {isSearching && (
        <input
          class="screen-search"
          type="search"
          aria-label="Search the terminal"
          placeholder="Search; Enter for the next"
          ref={(element) => element?.focus()}
          onKeyDown={({ key, shiftKey, currentTarget }) => {
            if (key === "Enter") emulator.current?.find(currentTarget.value, shiftKey);
            if (key !== "Escape") return;
            setSearching(false);
            emulator.current?.focus();
          }}
        />
      )}
      <p class="screen-notice" role="status">
        {notice}
      </p>
    </div>
  );
}

interface LinkEvents {
  onNotice: (text: string) => void;
  onEnded: () => void;
}

/** The session's stream; when the connection breaks it goes on where it was, so that nothing is missed. */
class SessionLink {
  readonly #vm: string;
  readonly #session: string;
  readonly #events: LinkEvents;
  #emulator: Emulator | undefined;
  #connection: ExecConnection | undefined;
  #offset = 0;
  /** Up to here output is from before: questions in it to the terminal must not be answered once more. */
  #past = 0;
  /** What was typed, until a connection takes it. */
  readonly #unsent: Uint8Array[] = [];
  #isSending = false;
  isOver = false;

  constructor(vm: string, session: string, events: LinkEvents) {
    this.#vm = vm;
    this.#session = session;
    this.#events = events;
  }

  begin(emulator: Emulator): void {
    this.#emulator = emulator;
    void this.#follow();
  }

  send(text: string, bytes: Uint8Array = new TextEncoder().encode(text)): void {
    const isAnswer = text.startsWith(ESCAPE) && ANSWER.test(text.slice(1));
    if (isAnswer && this.#offset < this.#past) return;
    if (this.#unsent.length >= UNSENT_MAX) return;
    this.#unsent.push(bytes);
    void this.#sendAll();
  }

  resize(size: { columns: number; rows: number }): void {
    this.#connection?.resize(size);
  }

  end(): void {
    this.isOver = true;
    this.#connection?.close();
  }

  /** In order; what a connection that broke has not taken goes over the next one. */
  async #sendAll(): Promise<void> {
    if (this.#isSending) return;
    this.#isSending = true;
    for (let next = this.#unsent[0]; next && this.#connection; next = this.#unsent[0]) {
      const connection = this.#connection;
      if (await connection.writeStdin(next)) this.#unsent.shift();
      else if (connection === this.#connection) break;
    }
    this.#isSending = false;
  }

  async #follow(): Promise<void> {
    while (!this.isOver) {
      const failure = await this.#connect();
      if (this.isOver) return;
      if (!failure || failure.code === "not_found") return this.#events.onEnded();
      if (!isGone(failure)) return this.#events.onNotice(failure.message);
      this.#events.onNotice("Connection lost. Reconnecting…");
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  /** Until it ends; with undefined, if the session has. */
  async #connect(): Promise<Failure | undefined> {
    try {
      const input = { vm: this.#vm, session: this.#session };
      const { outputStart_bytes, outputEnd_bytes } = await daemon.session.show(input);
      this.#offset = Math.max(this.#offset, outputStart_bytes);
      this.#past = outputEnd_bytes;
    } catch (error) {
      return failureOf(error);
    }
    if (this.isOver) return undefined;
    const connection = openStream(
      {
        kind: "session",
        vm: this.#vm,
        session: this.#session,
        offset: this.#offset,
        follow: true,
        stdin: true,
      },
      {
        onStdout: async (bytes) => {
          // Answers come while it is written.
          await this.#emulator?.write(bytes);
          this.#offset += bytes.length;
        },
        onStarted: () => {
          this.#events.onNotice("");
          const size = this.#emulator?.size();
          if (size) connection.resize(size);
        },
      },
    );
    this.#connection = connection;
    void this.#sendAll();
    try {
      await connection.exited;
      return undefined;
    } catch (error) {
      return failureOf(error);
    } finally {
      this.#connection = undefined;
    }
  }
}
