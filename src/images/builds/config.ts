/** What instructions say of the image's configuration, and the variables that they see. */
import { posix } from "node:path";
import type { ImageConfig } from "#api/image.ts";
import { BangerError } from "#base/error.ts";
import { atLine, execForm, type Instruction } from "./dockerfile.ts";
import { expandWord, splitWords, type WordOptions } from "./words.ts";

const SHELL = ["/bin/sh", "-c"];
const ENTRIES_MAX = 10_000;
/** What everybody may pass without declaring it. */
const PROXY_ARGS = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"].flatMap(
  (name) => [name, name.toLowerCase()],
);

export interface BuildArgs {
  /** Given by the user. */
  given: Readonly<Record<string, string>>;
  /** TARGETPLATFORM and its like. */
  automatic: Readonly<Record<string, string>>;
  /** Of the ARG instructions before the first FROM, worked out. */
  globals: ReadonlyMap<string, string | undefined>;
  /** Those of `given` that were used. */
  used: Set<string>;
}

export class StageConfig {
  readonly config: ImageConfig;
  readonly #env: Map<string, string>;
  readonly #args = new Map<string, string | undefined>();
  readonly #escapeChar: string;
  readonly #build: BuildArgs;
  shell: readonly string[] = SHELL;
  #hasOwnCmd = false;

  constructor(base: ImageConfig, options: { escapeChar: string; build: BuildArgs }) {
    this.config = structuredClone(base);
    this.#escapeChar = options.escapeChar;
    this.#build = options.build;
    this.#env = new Map(
      (base.env ?? []).map((line): [string, string] => {
        const at = line.indexOf("=");
        return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1)];
      }),
    );
  }

  get words(): WordOptions {
    return { escapeChar: this.#escapeChar, lookup: (name) => this.lookup(name) };
  }

  lookup(name: string): string | undefined {
    return this.#env.get(name) ?? this.#args.get(name);
  }

  /** One word with its variables. */
  expand(instruction: Instruction, text: string): string {
    try {
      return expandWord(text, this.words);
    } catch (error) {
      throw wrapped(instruction, error);
    }
  }

  /** The words of an instruction, in JSON or apart by spaces. */
  list(instruction: Instruction): string[] {
    const strings = execForm(instruction.rest);
    const words = strings ?? splitWords(instruction.rest, this.#escapeChar);
    return words.map((word) =>
      strings ? this.#expandPlain(word) : this.expand(instruction, word),
    );
  }

  /** What a command of RUN sees: variables of the image, and arguments below them. */
  environment(): Record<string, string> {
    const proxies = PROXY_ARGS.flatMap((name) => {
      const value = this.#build.given[name];
      if (value !== undefined) this.#build.used.add(name);
      return value === undefined ? [] : [[name, value] as const];
    });
    const args = [...this.#args].filter((pair): pair is [string, string] => pair[1] !== undefined);
    return Object.fromEntries([...proxies, ...args, ...this.#env]);
  }

  get workdir(): string {
    return this.config.workdir || "/";
  }

  /** Carries out what changes no file; false for an instruction that does. */
  apply(instruction: Instruction): boolean {
    const apply = this.#appliers[instruction.keyword];
    apply?.(instruction);
    return apply !== undefined;
  }

  /** An ARG: what was passed, else what the file says. */
  arg(instruction: Instruction): void {
    for (const word of splitWords(instruction.rest, this.#escapeChar)) {
      const at = word.indexOf("=");
      const name = at < 0 ? word : word.slice(0, at);
      if (!/^[A-Za-z_]\w*$/.test(name)) throw atLine(instruction, `"${name}" is no name`);
      const own = at < 0 ? undefined : this.expand(instruction, word.slice(at + 1));
      const given = this.#build.given[name];
      if (given !== undefined) this.#build.used.add(name);
      const fallback = own ?? this.#build.automatic[name] ?? this.#build.globals.get(name);
      this.#args.set(name, given ?? fallback);
    }
  }

  argValues(): ReadonlyMap<string, string | undefined> {
    return this.#args;
  }

  readonly #appliers: Record<string, (instruction: Instruction) => void> = {
    ARG: (instruction) => this.arg(instruction),
    ENV: (instruction) => {
      for (const [name, value] of this.#pairs(instruction, { isOldForm: true })) {
        this.#env.set(name, value);
      }
      this.config.env = [...this.#env].map(([name, value]) => `${name}=${value}`);
    },
    LABEL: (instruction) => {
      const pairs = this.#pairs(instruction, { isOldForm: true });
      this.config.labels = { ...this.config.labels, ...Object.fromEntries(pairs) };
    },
    EXPOSE: (instruction) => {
      const ports = this.list(instruction).flatMap((word) => portsOf(instruction, word));
      this.config.exposedPorts = [...new Set([...(this.config.exposedPorts ?? []), ...ports])];
    },
    USER: (instruction) => {
      this.config.user = this.expand(instruction, instruction.rest);
    },
    STOPSIGNAL: (instruction) => {
      this.config.stopSignal = this.expand(instruction, instruction.rest);
    },
    SHELL: (instruction) => {
      const strings = execForm(instruction.rest);
      if (!strings?.length) throw atLine(instruction, "SHELL takes a JSON array of strings");
      this.shell = strings;
    },
    CMD: (instruction) => {
      this.config.cmd = execForm(instruction.rest) ?? [...this.shell, instruction.rest];
      this.#hasOwnCmd = true;
    },
    ENTRYPOINT: (instruction) => {
      this.config.entrypoint = execForm(instruction.rest) ?? [...this.shell, instruction.rest];
      // Arguments of the base image are for its own entrypoint.
      if (!this.#hasOwnCmd) this.config.cmd = [];
    },
  };

  /** Sets the folder, and gives it. */
  setWorkdir(instruction: Instruction): string {
    const path = this.expand(instruction, instruction.rest);
    this.config.workdir = posix.resolve(this.workdir, path);
    return this.config.workdir;
  }

  /** "a=b c='d e'", and the old "name the rest". */
  #pairs(instruction: Instruction, options: { isOldForm: boolean }): [string, string][] {
    const { rest } = instruction;
    const words = splitWords(rest, this.#escapeChar);
    if (words.length > ENTRIES_MAX) throw atLine(instruction, "it has too many parts");
    if (options.isOldForm && words[0] !== undefined && !words[0].includes("=")) {
      const text = rest.slice(words[0].length).trim();
      if (text === "") throw atLine(instruction, `"${words[0]}" has no value`);
      return [[this.expand(instruction, words[0]), this.expand(instruction, text)]];
    }
    // All see the variables as they were before.
    return words.map((word) => {
      const at = word.indexOf("=");
      if (at < 1) throw atLine(instruction, `"${word}" is no NAME=VALUE`);
      const name = this.expand(instruction, word.slice(0, at));
      return [name, this.expand(instruction, word.slice(at + 1))];
    });
  }

  /** In JSON, quotes are the file's own and variables are replaced all the same. */
  #expandPlain(word: string): string {
    return word.replace(/\$(?:\{(\w+)\}|([A-Za-z_]\w*))/g, (_, a, b) => this.lookup(a ?? b) ?? "");
  }
}

/** An error of a step with the step's line; one that has its line already stays as it is. */
export function wrapped(instruction: { line: number }, error: unknown): unknown {
  if (!(error instanceof BangerError) || error.code === "cancelled") return error;
  if (error.message.startsWith("Cannot build line")) return error;
  const { code, message, hint } = error;
  return atLine(instruction, message, { code, hint, cause: error });
}

function portsOf(instruction: Instruction, word: string): string[] {
  const [, first = "", last, protocol = "tcp"] =
    /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(word) ?? [];
  const from = Number(first);
  const to = Number(last ?? first);
  if (first === "" || to < from || to > 65_535) throw atLine(instruction, `"${word}" is no port`);
  return Array.from(
    { length: to - from + 1 },
    (_, index) => `${from + index}/${protocol.toLowerCase()}`,
  );
}
