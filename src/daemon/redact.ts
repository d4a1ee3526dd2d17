/** Takes out of text what looks like a secret: better a word too many than one too few. */

const REMOVED = "[removed]";

/** The parts of a name that make it that of a secret; PWD and PAT alone are a folder and no word of their own. */
const SECRET_NAME = [
  "pass(?:word|wd|phrase|code)",
  "[_-]pass",
  "[_-]pwd",
  "[_-]pat",
  "secret",
  "token",
  "credentials?",
  "(?:api|access|private|signing|encryption|account|auth|master|storage|ssh|license)[_-]?key",
].join("|");
const NAME = `[\\w.-]*(?:${SECRET_NAME})(?![a-z])[\\w.-]*`;
/** In quotes, also escaped ones of JSON in a log line, or up to where such a value ends. */
const VALUE = String.raw`(?:(?<quote>\\*["'])[^\n]*?(?:(?<!\\)\k<quote>|(?=\n|$))|[^\s"',;&\\)}\]]+)`;

const KEY_BLOCK = /-----BEGIN [A-Z0-9 ]+-----[\s\S]*?(?:-----END [A-Z0-9 ]+-----|$)/g;
const IN_URL = /(\w+:\/\/)[^\s/@"']+@/g;
const AUTHORIZATION =
  /\b((?:proxy-)?authorization\\*["']?\s*[:=]\s*\\*["']?)[^\s"'\\]+(?:[ ]+[^\s"'\\,]+)?/gi;
const SCHEME = /\b(Basic|Bearer) [\w+/=.~-]{8,}/gi;
const ASSIGNED = new RegExp(`(${NAME}\\\\*["']?\\s*[=:]\\s*)${VALUE}`, "gi");
const OPTION = new RegExp(`(--${NAME} +)${VALUE}`, "gi");
/** Tokens that are known by their form: of GitHub, GitLab, AWS, Slack, npm, Docker, Google, OpenAI; JSON web tokens. */
const KNOWN =
  /\b(?:gh[opsur]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|A(?:KIA|SIA)[A-Z0-9]{16}|xox[abposr]-[\w-]{10,}|npm_\w{20,}|dckr_pat_[\w-]{16,}|AIza[\w-]{30,}|sk-[\w-]{20,}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*)/g;

/** Keys, credentials in URLs and headers, and what follows a name that is a secret's. */
export function redact(text: string): string {
  return text
    .replaceAll(KEY_BLOCK, REMOVED)
    .replaceAll(IN_URL, `$1${REMOVED}@`)
    .replaceAll(AUTHORIZATION, `$1${REMOVED}`)
    .replaceAll(SCHEME, `$1 ${REMOVED}`)
    .replaceAll(ASSIGNED, `$1$<quote>${REMOVED}$<quote>`)
    .replaceAll(OPTION, `$1$<quote>${REMOVED}$<quote>`)
    .replaceAll(KNOWN, REMOVED);
}
