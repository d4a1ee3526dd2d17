/** The image configuration that instructions set, and the variables that they can use. */
import { posix } from "node:path";
import type { ImageConfig } from "#api/image.ts";
import { BangerError } from "#base/error.ts";
import { execForm } from "#builds/dockerfile/exec-form.ts";
import { parseHealthcheck } from "#builds/dockerfile/healthcheck.ts";
import type { Instruction } from "#builds/dockerfile/instruction.ts";
import { atLine, wrapped } from "#builds/dockerfile/line-error.ts";
import { pairOf, pairsOf } from "#builds/dockerfile/pairs.ts";
import { portsOf } from "#builds/dockerfile/ports.ts";
import { assertSignal } from "#builds/dockerfile/stop-signal.ts";
import {
  expandWord,
  expandWords,
  plainWords,
  splitWords,
  type WordOptions,
} from "#builds/dockerfile/words.ts";

const SHELL = ["/bin/sh", "-c"];
/** For a base without one. */
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const ENTRIES_MAX = 10_000;
/** Predefined build arguments, in upper or lower case. */
const PROXY_ARGS = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

export interface BuildArgs {
  /** Given by the user. */
  given: Readonly<Record<string, string>>;
  /** TARGETPLATFORM and the other platform arguments, and the expanded ARG instructions before the first FROM. */
  globals: ReadonlyMap<string, string>;
  /** The keys of `given` that were used. */
  used: Set<string>;
}

export class StageConfig {
  readonly config: ImageConfig;
  readonly #options: { escapeChar: string; build: BuildArgs };
  /** Variables of ENV and ARG, for instructions and commands. */
  readonly #variables: Map<string, string>;
  #hasOwnCmd = false;

  /** `variables`: those of the parent stage, in place of the image's. */
  constructor(
    base: ImageConfig,
    options: {
      escapeChar: string;
      build: BuildArgs;
      variables?: ReadonlyMap<string, string> | undefined;
    },
  ) {
    this.config = structuredClone(base);
    // ONBUILD triggers run in the first stage on this image.
    delete this.config.onBuild;
    this.#options = options;
    const env = new Map((base.env ?? []).map(pairOf));
    if (!env.has("PATH")) env.set("PATH", PATH);
    this.config.env = linesOf(env);
    this.#variables = new Map(options.variables ?? env);
  }

  get variables(): ReadonlyMap<string, string> {
    return this.#variables;
  }

  get words(): WordOptions {
    return { escapeChar: this.#options.escapeChar, lookup: (name) => this.lookup(name) };
  }

  get shell(): readonly string[] {
    return this.config.shell?.length ? this.config.shell : SHELL;
  }

  get workdir(): string {
    return posix.resolve("/", this.config.workdir || "/");
  }

  lookup(name: string): string | undefined {
    return this.#variables.get(name);
  }

  /** Expands the variables of one word. */
  expand(instruction: { line: number }, text: string): string {
    try {
      return expandWord(text, this.words);
    } catch (error) {
      throw wrapped(instruction, error);
    }
  }

  /** The arguments of an instruction, as JSON or separated by spaces. */
  list(instruction: Pick<Instruction, "line" | "rest">): string[] {
    const words = execForm(instruction.rest) ?? plainWords(instruction.rest);
    if (words.length > ENTRIES_MAX) throw atLine(instruction, "too many arguments");
    return words.map((word) => this.expand(instruction, word));
  }

  /** The environment of RUN. */
  environment(): Record<string, string> {
    return Object.fromEntries(this.#variables);
  }

  /** Proxy arguments, which are not part of step keys. */
  proxies(): Record<string, string> {
    const { given, used } = this.#options.build;
    const pairs = PROXY_ARGS.flatMap((name): [string, string][] => {
      const passed = [name.toLowerCase(), name].find((each) => given[each] !== undefined);
      const value = passed === undefined ? undefined : given[passed];
      if (passed === undefined || value === undefined) return [];
      used.add(passed);
      return [
        [name, value],
        [name.toLowerCase(), value],
      ];
    });
    return Object.fromEntries(pairs.filter(([name]) => !this.#variables.has(name)));
  }

  /** Applies an instruction that changes no file; false for other instructions. */
  apply(instruction: Instruction): boolean {
    const apply = this.#appliers[instruction.keyword];
    apply?.(instruction);
    return apply !== undefined;
  }

  /** Applies ARG: the given value, else the default; without either, the current value stays. */
  arg(instruction: Instruction): void {
    const { given, used, globals } = this.#options.build;
    for (const word of splitWords(instruction.rest, this.#options.escapeChar)) {
      const [name, own] = pairOf(word);
      if (name === "") throw atLine(instruction, `"${word}" is not NAME=VALUE`);
      const passed = given[name];
      if (passed !== undefined) used.add(name);
      const value = word.includes("=")
        ? (passed ?? this.expand(instruction, own))
        : (passed ?? globals.get(name));
      if (value !== undefined) this.#variables.set(name, value);
    }
  }

  readonly #appliers: Record<string, (instruction: Instruction) => void> = {
    ARG: (instruction) => this.arg(instruction),
    ENV: (instruction) => {
      const env = new Map((this.config.env ?? []).map(pairOf));
      for (const [name, value] of this.#pairs(instruction)) {
        env.set(name, value);
        this.#variables.set(name, value);
      }
      this.config.env = linesOf(env);
    },
    LABEL: (instruction) => {
      const pairs = this.#pairs(instruction);
      this.config.labels = { ...this.config.labels, ...Object.fromEntries(pairs) };
    },
    EXPOSE: (instruction) => {
      const words = plainWords(instruction.rest).flatMap((word) => expandWords(word, this.words));
      const ports = words.flatMap(portsOf);
      this.config.exposedPorts = [...new Set([...(this.config.exposedPorts ?? []), ...ports])];
    },
    VOLUME: (instruction) => {
      const volumes = this.list(instruction).map((word) => word.trim());
      if (volumes.includes("")) throw atLine(instruction, "VOLUME with an empty path");
      this.config.volumes = [...new Set([...(this.config.volumes ?? []), ...volumes])];
    },
    USER: (instruction) => {
      this.config.user = this.expand(instruction, instruction.rest);
    },
    STOPSIGNAL: (instruction) => {
      const signal = this.expand(instruction, instruction.rest);
      assertSignal(signal);
      this.config.stopSignal = signal;
    },
    SHELL: (instruction) => {
      this.config.shell = execForm(instruction.rest) ?? [];
    },
    HEALTHCHECK: (instruction) => {
      this.config.healthcheck = parseHealthcheck(instruction);
    },
    ONBUILD: (instruction) => {
      this.config.onBuild = [...(this.config.onBuild ?? []), triggerOf(instruction)];
    },
    MAINTAINER: (instruction) => {
      this.config.author = instruction.rest;
    },
    CMD: (instruction) => {
      this.config.cmd = this.#command(instruction);
      this.#hasOwnCmd = true;
    },
    ENTRYPOINT: (instruction) => {
      this.config.entrypoint = this.#command(instruction);
      // The CMD of the base image belongs to its ENTRYPOINT.
      if (!this.#hasOwnCmd) this.config.cmd = [];
    },
  };

  /** Sets WORKDIR and returns its path. */
  setWorkdir(instruction: Instruction): string {
    const path = this.expand(instruction, instruction.rest);
    if (path === "")
      throw atLine(instruction, `WORKDIR ${instruction.rest} expands to an empty path`);
    this.config.workdir = posix.resolve(this.workdir, path);
    return this.config.workdir;
  }

  #command({ rest }: Instruction): string[] {
    return execForm(rest) ?? [...this.shell, rest];
  }

  /** All are expanded with the variables from before the instruction. */
  #pairs(instruction: Instruction): [string, string][] {
    const pairs = pairsOf(instruction.rest, this.#options.escapeChar);
    return pairs.map(([name, value]) => [
      this.expand(instruction, name),
      this.expand(instruction, value),
    ]);
  }
}

/** The text of an ONBUILD trigger: the instruction as written, here-documents included. */
function triggerOf({ text, heredocs }: Instruction): string {
  const own = text.replace(/^ONBUILD\s+/i, "");
  return [own, ...heredocs.map(({ content, name }) => `${content}${name}`)].join("\n");
}

function linesOf(pairs: ReadonlyMap<string, string>): string[] {
  return [...pairs].map(([name, value]) => `${name}=${value}`);
}

export function assertNoVariable(instruction: Instruction, name: string): void {
  const value = instruction.flags.get(name) ?? "";
  if (expandWord(value, { escapeChar: "\\", lookup: () => undefined }) === value) return;
  throw new BangerError(
    "invalid_argument",
    `${instruction.keyword} --${name}=${value}: variables are not supported here`,
    {
      hint: `Declare a stage: FROM ${value} AS NAME, and use --${name}=NAME`,
    },
  );
}
