/**
 * Parses apt's sources: lines of sources.list, and stanzas of *.sources. The files come from an image, so only plain
 * web servers and options without a say over programs or files of the host are accepted.
 * Source: sources.list(5).
 */
import { BangerError } from "#base/error.ts";
import { safeLine } from "#base/printable.ts";

const SOURCES_MAX = 64;
const WORDS_MAX = 64;
const SUITE = /^[A-Za-z0-9][\w.+~-]*(\/[A-Za-z0-9][\w.+~-]*)*\/?$/;
const COMPONENT = SUITE;
const ARCHITECTURE = /^[a-z0-9][a-z0-9-]{0,31}$/;
const KEY_START = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

export interface AptSource {
  /** Ends in "/". */
  base: URL;
  /** "bookworm"; or the directory of a repository without components, which ends in "/". */
  suite: string;
  components: string[];
  /** Default: those of the image. */
  architectures?: string[];
  /** Keyrings by path in the image, or the armored key. Default: the keyrings that the image trusts. */
  signedBy?: { paths: string[] } | { key: string };
  /** As for snapshots of an archive. */
  isValidForever?: true;
}

/** The sources of a file named `name`. `unsupported` for what only the guest can use. */
export function parseSources(name: string, text: string): AptSource[] {
  const sources = name.endsWith(".sources") ? parseStanzas(text) : parseLines(text);
  assertFew(sources.length);
  return sources;
}

/** `deb [OPTION=VALUE...] URI SUITE [COMPONENT...]`. */
function parseLines(text: string): AptSource[] {
  return text.split("\n").flatMap((line) => {
    const plain = line.replace(/#.*/, "").trim();
    if (plain === "" || /^deb-src\s/.test(plain)) return [];
    const match = /^deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s*(.*)$/.exec(plain);
    if (!match) throw unsupported(`line "${plain}"`);
    const [, options = "", uri = "", suite = "", rest = ""] = match;
    const fields = new Map<string, string>();
    for (const option of words(options)) {
      const at = option.search(/[+-]?=/);
      if (at < 0 || option[at] !== "=") throw unsupported(`option "${option}"`);
      fields.set(option.slice(0, at).toLowerCase(), option.slice(at + 1).replaceAll(",", " "));
    }
    return sourcesOf({ uris: [uri], suites: [suite], components: words(rest) }, fields);
  });
}

/** By the name in a stanza, the one in a line. Fields that choose indexes which are not used here have none. */
const OPTIONS: Readonly<Record<string, string>> = {
  architectures: "arch",
  "signed-by": "signed-by",
  trusted: "trusted",
  "check-valid-until": "check-valid-until",
  "allow-insecure": "allow-insecure",
  "allow-weak": "allow-weak",
  "allow-downgrade-to-insecure": "allow-downgrade-to-insecure",
};
const IGNORED = ["lang", "languages", "target", "targets", "pdiffs", "by-hash"];
const OWN_FIELDS = ["types", "uris", "suites", "components", "enabled"];
const NOTES = /^(description|x-.*)$/;

function parseStanzas(text: string): AptSource[] {
  const plain = text.replace(/^#.*\n?/gm, "");
  return plain.split(/\n[ \t]*\n/).flatMap((stanza) => {
    const fields = fieldsOf(stanza);
    const list = (name: string): string[] => words(fields.get(name) ?? "");
    if (fields.size === 0 || !list("types").includes("deb") || isNo(fields.get("enabled")))
      return [];
    const options = new Map<string, string>();
    for (const [name, value] of fields) {
      if (OWN_FIELDS.includes(name) || NOTES.test(name)) continue;
      options.set(OPTIONS[name] ?? name, value);
    }
    const [uris, suites] = [list("uris"), list("suites")];
    return sourcesOf({ uris, suites, components: list("components") }, options);
  });
}

function fieldsOf(stanza: string): Map<string, string> {
  const fields = new Map<string, string>();
  let last = "";
  for (const line of stanza.split("\n")) {
    const match = /^([A-Za-z0-9-]+):[ \t]*(.*)$/.exec(line);
    if (match?.[1]) {
      last = match[1].toLowerCase();
      fields.set(last, match[2]?.trim() ?? "");
    } else if (/^[ \t]/.test(line) && last) {
      fields.set(last, `${fields.get(last) ?? ""}\n${line.trim()}`);
    } else if (line.trim() !== "") throw unsupported(`line "${line}"`);
  }
  return fields;
}

function sourcesOf(
  parts: { uris: string[]; suites: string[]; components: string[] },
  options: ReadonlyMap<string, string>,
): AptSource[] {
  const { uris, suites, components } = parts;
  const common = optionsOf(options);
  const architectures = common.architectures ?? [];
  for (const name of components) if (!isPath(name)) throw unsupported(`component "${name}"`);
  for (const name of architectures) {
    if (!ARCHITECTURE.test(name)) throw unsupported(`architecture "${name}"`);
  }
  assertFew(uris.length * suites.length);
  return uris.flatMap((uri) =>
    suites.map((suite) => {
      const isFlat = suite.endsWith("/");
      const isName = suite === "/" || suite === "./" || isPath(suite);
      if (!isName || isFlat !== (components.length === 0)) throw unsupported(`suite "${suite}"`);
      return { base: baseOf(uri), suite, components, ...common };
    }),
  );
}

function optionsOf(options: ReadonlyMap<string, string>) {
  const result: Pick<AptSource, "architectures" | "signedBy" | "isValidForever"> = {};
  for (const [name, value] of options) {
    if (IGNORED.includes(name)) continue;
    if (name === "arch") result.architectures = words(value);
    else if (name === "signed-by") result.signedBy = signedBy(value);
    else if (name === "check-valid-until") {
      if (isNo(value)) result.isValidForever = true;
    } else if (!isNo(value)) throw unsupported(`option "${name}"`);
  }
  return result;
}

function signedBy(value: string): AptSource["signedBy"] {
  if (value.trimStart().startsWith(KEY_START)) {
    const lines = value.trim().split("\n");
    return { key: `${lines.map((line) => (line === "." ? "" : line)).join("\n")}\n` };
  }
  const paths = words(value);
  // Fingerprints choose from the trusted keyrings.
  if (paths.length === 0 || paths.some((path) => !path.startsWith("/"))) {
    throw unsupported(`signed-by "${value}"`);
  }
  return { paths };
}

function baseOf(uri: string): URL {
  const url = URL.canParse(uri) ? new URL(uri) : undefined;
  const isWeb = url?.protocol === "http:" || url?.protocol === "https:";
  if (!url || !isWeb || url.username || url.password || url.search || url.hash) {
    throw unsupported(`URI "${uri}"`);
  }
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return url;
}

function assertFew(sources: number): void {
  if (sources > SOURCES_MAX) throw unsupported(`more than ${SOURCES_MAX} sources`);
}

function isPath(text: string): boolean {
  return COMPONENT.test(text) && !text.split("/").includes("..");
}

function isNo(value: string | undefined): boolean {
  return /^(no|false|without|off|disable|0)$/i.test(value ?? "");
}

function words(text: string): string[] {
  const found = text.split(/\s+/).filter((word) => word !== "");
  if (found.length > WORDS_MAX) throw unsupported(`more than ${WORDS_MAX} words in one field`);
  return found;
}

function unsupported(what: string): BangerError {
  const shown = safeLine(what).slice(0, 200);
  return new BangerError("unsupported", `unsupported package source: ${shown}`);
}
