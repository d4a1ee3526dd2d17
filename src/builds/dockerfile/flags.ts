/** Parses and validates the flags of instructions. */
import { BangerError } from "#base/error.ts";
import { didYouMean } from "#base/similar.ts";
import type { WrittenFlag } from "./lines.ts";

type Kind = "bool" | "text" | "list";

export interface Flags {
  /** By name; the last one if repeated. "true" or "false" for a boolean flag. */
  flags: ReadonlyMap<string, string>;
  /** All values of repeatable flags. */
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

const VALUES: Readonly<Record<string, readonly string[]>> = {
  network: ["default", "none", "host"],
  security: ["sandbox", "insecure"],
};

/** `invalid_argument`. */
export function parseFlags(keyword: string, written: readonly WrittenFlag[]): Flags {
  const known = FLAGS[keyword] ?? {};
  const flags = new Map<string, string>();
  const lists = new Map<string, string[]>();
  for (const { name, value } of written) {
    const kind = Object.hasOwn(known, name) ? known[name] : undefined;
    if (!kind) {
      throw new BangerError("invalid_argument", `unknown flag for ${keyword}: --${name}`, {
        hint: didYouMean(name, Object.keys(known)),
      });
    }
    if (flags.has(name) && kind !== "list") {
      throw new BangerError("invalid_argument", `duplicate flag for ${keyword}: --${name}`);
    }
    const text = kind === "bool" ? truth(`${keyword} --${name}`, value) : value;
    if (text === undefined) {
      throw new BangerError(
        "invalid_argument",
        `${keyword} --${name} requires a value: --${name}=VALUE`,
      );
    }
    const values = VALUES[name];
    if (values && !values.includes(text)) {
      throw new BangerError(
        "invalid_argument",
        `invalid value for ${keyword} --${name}: "${text}"`,
        {
          hint: `Allowed values: ${values.join(", ")}`,
        },
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
  throw new BangerError(
    "invalid_argument",
    `invalid value for ${flag}: "${value}", expected true or false`,
  );
}
