/** The terminal emulator. This file is a bundle of its own, loaded with the first terminal. */
import { FitAddon } from "@xterm/addon-fit";
import { SearchAddon } from "@xterm/addon-search";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { type ITheme, Terminal } from "@xterm/xterm";
import { styleByScript } from "./style-by-script.ts";

const SCROLLBACK_LINES = 10_000;
const FIT_DELAY_MS = 60;

export interface Emulator {
  /** Resolves when it is drawn. */
  write(bytes: Uint8Array): Promise<void>;
  size(): { columns: number; rows: number };
  setTheme(isDark: boolean): void;
  find(text: string, isBackward: boolean): void;
  focus(): void;
  dispose(): void;
}

interface EmulatorOptions {
  label: string;
  isDark: boolean;
  /** `bytes`: of what is no text, such as some reports of the mouse. */
  onInput: (text: string, bytes?: Uint8Array) => void;
  onResize: (size: { columns: number; rows: number }) => void;
  onSearch: () => void;
  /** Tab and all other keys are the session's, so there is one to get out. */
  onLeave: () => void;
}

export function openEmulator(element: HTMLElement, options: EmulatorOptions): Emulator {
  styleByScript();
  const terminal = new Terminal({
    allowProposedApi: true,
    cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
    fontFamily: "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace",
    fontSize: 13,
    lineHeight: 1.2,
    minimumContrastRatio: 4.5,
    scrollback: SCROLLBACK_LINES,
    theme: themeOf(options.isDark),
  });
  const fit = new FitAddon();
  const search = new SearchAddon();
  terminal.loadAddon(fit);
  terminal.loadAddon(search);
  terminal.loadAddon(
    new WebLinksAddon((_, uri) => void open(uri, "_blank", "noopener,noreferrer")),
  );
  terminal.open(element);
  terminal.textarea?.setAttribute("aria-label", options.label);
  terminal.onData((text) => options.onInput(text));
  terminal.onBinary((text) =>
    options.onInput(
      text,
      Uint8Array.from(text, (each) => each.charCodeAt(0)),
    ),
  );
  terminal.onResize(({ cols, rows }) => options.onResize({ columns: cols, rows }));
  terminal.attachCustomKeyEventHandler((event) => customKey(terminal, event, options));
  let timer: ReturnType<typeof setTimeout> | undefined;
  const observer = new ResizeObserver(() => {
    clearTimeout(timer);
    timer = setTimeout(() => fit.fit(), FIT_DELAY_MS);
  });
  observer.observe(element);
  fit.fit();
  terminal.focus();
  return {
    write: (bytes) => new Promise((resolve) => terminal.write(bytes, resolve)),
    size: () => ({ columns: terminal.cols, rows: terminal.rows }),
    setTheme(isDark) {
      terminal.options.theme = themeOf(isDark);
    },
    find(text, isBackward) {
      if (isBackward) search.findPrevious(text);
      else search.findNext(text);
    },
    focus: () => terminal.focus(),
    dispose() {
      clearTimeout(timer);
      observer.disconnect();
      terminal.dispose();
    },
  };
}

/** Copy and search as terminals of desktops have them; false keeps a key from the session. */
function customKey(
  terminal: Terminal,
  event: KeyboardEvent,
  { onSearch, onLeave }: EmulatorOptions,
): boolean {
  if (event.type !== "keydown" || !event.ctrlKey || !event.shiftKey) return true;
  if (event.code === "KeyC" && terminal.hasSelection()) {
    event.preventDefault();
    void navigator.clipboard.writeText(terminal.getSelection());
    return false;
  }
  const work = { KeyF: onSearch, ArrowUp: onLeave }[event.code];
  if (!work) return true;
  event.preventDefault();
  work();
  return false;
}

function themeOf(isDark: boolean): ITheme {
  const style = getComputedStyle(document.documentElement);
  const token = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    background: token("terminal"),
    foreground: token("ink"),
    cursor: token("accent"),
    selectionBackground: token("selection"),
    ...(isDark ? DARK : LIGHT),
  };
}

const LIGHT: ITheme = {
  black: "#1d1c19",
  red: "#b3261e",
  green: "#1f7a3d",
  yellow: "#8a6100",
  blue: "#1f5fa8",
  magenta: "#8b3a8b",
  cyan: "#0f7474",
  white: "#8f8b80",
  brightBlack: "#5a574f",
};

const DARK: ITheme = {
  black: "#2a2925",
  red: "#ff8578",
  green: "#6fcf8b",
  yellow: "#e3b341",
  blue: "#86b8ff",
  magenta: "#dba0e8",
  cyan: "#6fd3d3",
  white: "#d8d4c8",
  brightBlack: "#8f8b80",
};
