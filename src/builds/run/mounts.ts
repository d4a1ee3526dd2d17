/** Parses RUN --mount. */
import { posix } from "node:path";
import { BangerError } from "#base/error.ts";
import { didYouMean } from "#base/similar.ts";
import { parseSize } from "#base/size.ts";

interface Place {
  /** Absolute. */
  target: string;
  isReadOnly: boolean;
}

interface Access {
  uid: number;
  gid: number;
  /** Undefined for the default of the mount type. */
  mode: number | undefined;
}

/** From a stage or an image; without `from`, from the context. */
export interface BindMount extends Place {
  kind: "bind";
  from: string | undefined;
  source: string;
}

export interface CacheMount extends Place, Access {
  kind: "cache";
  id: string;
  sharing: "shared" | "private" | "locked";
  /** Its initial content. */
  from: string | undefined;
  source: string;
}

export interface TmpfsMount extends Place {
  kind: "tmpfs";
  /** 0: the kernel's default. */
  size_bytes: number;
}

export interface SecretMount extends Access {
  kind: "secret";
  id: string;
  /** Undefined for a secret that is only a variable. */
  target: string | undefined;
  variable: string | undefined;
  isRequired: boolean;
}

export interface SshMount extends Access {
  kind: "ssh";
  id: string;
  target: string | undefined;
  isRequired: boolean;
}

export type Mount = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount;

export interface MountOptions {
  expand: (text: string) => string;
  workdir: string;
}

type Kind = Mount["kind"];

const KINDS: readonly Kind[] = ["bind", "cache", "tmpfs", "secret", "ssh"];
/** Aliases of fields. */
const ALIASES: Readonly<Record<string, string>> = {
  src: "source",
  dst: "target",
  destination: "target",
  ro: "readonly",
  rw: "readwrite",
};
const FIELDS: Readonly<Record<Kind, readonly string[]>> = {
  bind: ["from", "source", "target", "readonly", "readwrite"],
  cache: [
    ...["id", "target", "readonly", "readwrite", "sharing", "from", "source"],
    ...["mode", "uid", "gid"],
  ],
  tmpfs: ["target", "size", "readonly", "readwrite"],
  secret: ["id", "source", "target", "env", "required", "mode", "uid", "gid", "readonly"],
  ssh: ["id", "target", "required", "mode", "uid", "gid", "readonly"],
};
const FLAGS = new Set(["readonly", "readwrite", "required"]);
const ID_MAX = 2 ** 32 - 2;

/** The `from` of a mount, which cannot have variables. */
export function mountedFrom(text: string): string | undefined {
  const from = fieldsOf(text, (value) => value).get("from");
  if (from === undefined || !/\$./.test(from)) return from;
  throw wrong(`--mount=${text}: variables are not supported in "from"`, {
    hint: `Declare a stage: FROM ${from} AS NAME, and use from=NAME`,
  });
}

/** `invalid_argument`. */
export function parseMount(text: string, { expand, workdir }: MountOptions): Mount {
  const fields = fieldsOf(text, expand);
  const kind = (fields.get("type") ?? "bind").toLowerCase() as Kind;
  if (!KINDS.includes(kind)) {
    throw wrong(`unknown mount type "${kind}"`, {
      hint: didYouMean(kind, KINDS, `Types: ${KINDS.join(", ")}`),
    });
  }
  for (const name of fields.keys()) {
    if (name === "type" || FIELDS[kind].includes(name)) continue;
    throw wrong(`unknown field "${name}" for mount type ${kind}`, {
      hint: didYouMean(name, FIELDS[kind], `Allowed fields: ${FIELDS[kind].join(", ")}`),
    });
  }
  const place = (): Place => {
    const target = posix.resolve(workdir, fields.get("target") ?? "");
    if (!fields.has("target") || target === "/") throw wrong(`--mount=${text} requires a target`);
    const isWritable = kind === "bind" ? fields.get("readwrite") === "true" : true;
    const isReadOnly = fields.get("readonly") === "true" || fields.get("readwrite") === "false";
    return { target, isReadOnly: isReadOnly || !isWritable };
  };
  const from = fields.get("from");
  const source = posix.resolve("/", fields.get("source") ?? "").slice(1);
  if (kind === "bind") return { kind, ...place(), from, source };
  if (kind === "tmpfs") return { kind, ...place(), size_bytes: sizeOf(fields.get("size")) };
  const access = {
    uid: numberOf(fields, "uid", 10) ?? 0,
    gid: numberOf(fields, "gid", 10) ?? 0,
    mode: numberOf(fields, "mode", 8),
  };
  if (kind === "cache") {
    const own = place();
    const sharing = sharingOf(fields.get("sharing"));
    return { kind, ...own, ...access, id: fields.get("id") || own.target, sharing, from, source };
  }
  const target = fields.get("target");
  const isRequired = fields.get("required") === "true";
  const common = { ...access, isRequired, target: target && posix.resolve(workdir, target) };
  if (kind === "ssh") return { kind, ...common, id: fields.get("id") || "default" };
  return secretOf(fields, common);
}

function secretOf(
  fields: ReadonlyMap<string, string>,
  common: Access & { isRequired: boolean; target: string | undefined },
): SecretMount {
  const { target } = common;
  const [id, source] = [fields.get("id"), fields.get("source")];
  if (id && source) throw wrong("a mount of type secret takes an id or a source, not both");
  const name = source || id || (target && posix.basename(target));
  if (!name) throw wrong("a mount of type secret requires an id or a target");
  const variable = fields.has("env") ? fields.get("env") || posix.basename(name) : undefined;
  const place =
    target ?? (variable === undefined ? `/run/secrets/${posix.basename(name)}` : target);
  return { ...common, kind: "secret", id: name, variable, target: place };
}

/** "a=b,c" with quotes as in CSV; a field without a value is a flag. */
function fieldsOf(text: string, expand: (value: string) => string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const field of splitFields(text)) {
    const at = field.indexOf("=");
    const written = (at < 0 ? field : field.slice(0, at)).toLowerCase();
    const name = ALIASES[written] ?? written;
    if (at < 0 && !FLAGS.has(name)) throw wrong(`--mount field "${field}" requires a value`);
    const value = at < 0 ? "true" : expand(field.slice(at + 1));
    fields.set(name, FLAGS.has(name) ? truth(name, value) : value);
    // The last one wins.
    if (name === "readonly") fields.delete("readwrite");
    if (name === "readwrite") fields.delete("readonly");
  }
  return fields;
}

function splitFields(text: string): string[] {
  const parts = text.match(/(?:^|,)(?:"(?:[^"]|"")*"|[^,]*)/g) ?? [];
  const fields = parts.map((part) => part.replace(/^,/, ""));
  if (fields.join(",") !== text) throw wrong(`unterminated quote in --mount=${text}`);
  return fields.map((field) => {
    const quoted = /^"([\s\S]*)"$/.exec(field)?.[1];
    return quoted === undefined ? field : quoted.replaceAll('""', '"');
  });
}

function truth(name: string, value: string): string {
  if (/^(1|t|true)$/i.test(value)) return "true";
  if (/^(0|f|false)$/i.test(value)) return "false";
  throw wrong(`invalid value for --mount field ${name}: "${value}", expected true or false`);
}

function sharingOf(text = "shared"): CacheMount["sharing"] {
  const sharing = text.toLowerCase();
  if (sharing === "shared" || sharing === "private" || sharing === "locked") return sharing;
  throw wrong(`invalid cache sharing mode "${text}"`, {
    hint: "Allowed values: shared, private, locked",
  });
}

function sizeOf(text: string | undefined): number {
  return text === undefined ? 0 : parseSize(text);
}

function numberOf(
  fields: ReadonlyMap<string, string>,
  name: string,
  base: 8 | 10,
): number | undefined {
  const text = fields.get(name);
  if (text === undefined) return undefined;
  const number = Number.parseInt(text, base);
  const max = base === 8 ? 0o7777 : ID_MAX;
  if ((base === 8 ? /^[0-7]+$/ : /^\d+$/).test(text) && number <= max) return number;
  throw wrong(`invalid value for --mount field ${name}: "${text}"`);
}

function wrong(message: string, options: { hint?: string | undefined } = {}): BangerError {
  return new BangerError("invalid_argument", message, options);
}
