/** Flags of instructions: which there are, and what values they take. */
import { BangerError } from "#base/error.ts";
import { didYouMean } from "#base/similar.ts";
import type { Instruction } from "./dockerfile.ts";
import type { WrittenFlag } from "./lines.ts";

type Kind = "bool" | "text" | "list";

export interface Flags {
  /** By name; of a list, the last one. "true" or "false" for one that takes no value. */
  flags: ReadonlyMap<string, string>;
  /** All values of those that may be repeated. */
  lists: ReadonlyMap<string, readonly string[]>;
}

const FLAGS: Readonly<Record<string, Readonly<Record<string, Kind>>>> = {
  ADD: {
    checksum: "text",
    chmod: "text",
    chown: "text",
    exclude: "list",
    "keep-git-dir": "bool",
    link: "bool",
    unpack: "bool",
  },
  COPY: {
    chmod: "text",
    chown: "text",
    exclude: "list",
    from: "text",
    link: "bool",
    parents: "bool",
  },
  FROM: { platform: "text" },
  HEALTHCHECK: {
    interval: "text",
    retries: "text",
    "start-interval": "text",
    "start-period": "text",
    timeout: "text",
  },
  RUN: { mount: "list", network: "text", security: "text" },
};

/** `invalid_argument`. */
export function parseFlags(keyword: string, written: readonly WrittenFlag[]): Flags {
  const known = FLAGS[keyword] ?? {};
  const flags = new Map<string, string>();
  const lists = new Map<string, string[]>();
  for (const { name, value } of written) {
    const kind = Object.hasOwn(known, name) ? known[name] : undefined;
    if (!kind) {
      throw new BangerError("invalid_argument", `${keyword} has no flag --${name}`, {
        hint: didYouMean(name, Object.keys(known)),
      });
    }
    if (flags.has(name) && kind !== "list") {
      throw new BangerError("invalid_argument", `${keyword} --${name} is given twice`);
    }
    const text = kind === "bool" ? truth(`${keyword} --${name}`, value) : value;
    if (text === undefined) {
      throw new BangerError(
        "invalid_argument",
        `${keyword} --${name} has no value: write --${name}=VALUE`,
      );
    }
    flags.set(name, text);
    if (kind === "list") lists.set(name, [...(lists.get(name) ?? []), text]);
  }
  return { flags, lists };
}

function truth(flag: string, value: string | undefined): string {
  const text = (value ?? "true").toLowerCase();
  if (text === "true" || text === "false") return text;
  throw new BangerError("invalid_argument", `${flag} is true or false, not "${value}"`);
}

/** `unsupported` for a flag that is not in `known`. */
export function refuseFlags({ flags, keyword }: Instruction, known: readonly string[]): void {
  for (const [name, value] of flags) {
    if (known.includes(name)) continue;
    throw new BangerError("unsupported", `${keyword} --${name}=${value} is not known`);
  }
}
