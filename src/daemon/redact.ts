/** Redacts what looks like a secret: better too much than too little. */

const REMOVED = "[removed]";

/** The parts of a name that make it that of a secret; PWD and PAT alone are a folder and no word of their own. */
const SECRET_NAME = [
  "pass(?:words?|wd|phrase|code)",
  "[_-]pass",
  "sshpass",
  "[_-]pwd",
  "[_-]pat",
  "secrets?",
  "tokens?",
  "cookies?",
  "[_-]signature",
  "credentials?",
  "(?:secret|api|access|private|signing|encryption|account|auth|master|storage|ssh|license)[_-]?key",
].join("|");
/**
 * What comes before it is kept anyway. Guests write what is looked through here: nothing that may be tried at each
 * character is without a limit, or a megabyte of one letter would keep the daemon busy for hours.
 */
const NAME = `(?:${SECRET_NAME})(?![a-z])[\\w.-]{0,64}`;
/** In quotes, also escaped ones of JSON in a log line, or up to where such a value ends. */
const VALUE = String.raw`(?:\$?(?<quote>\\{0,8}["'])[^\n]*?(?:(?<!\\)\k<quote>|(?=\n|$))|(?:[^\s"',;&\\)}\]]|[,;](?=[^\s"'\\{[]))+)`;

const KEY_BLOCK = /-----BEGIN [A-Z0-9 ]+-----[\s\S]*?(?:-----END [A-Z0-9 ]+-----|$)/g;
/** Passwords may have a "@" of their own. */
const IN_URL = /(:\/\/)[^\s/"']+@/g;
const AUTHORIZATION =
  /\b((?:proxy-)?authorization\\*["']?\s*[:=]\s*\\*["']?)[^\s"'\\]+(?:[ ]+[^\s"'\\,]+)?/gi;
/** Logins in docker's config.json and npm's .npmrc, and the one of curl. */
const AUTH =
  /((?:["'\s:]|\b(?:x-registry-|npm_config_)|^)_?auth\\*["']?\s*[:=]\s*\\*["']?)[\w+/=-]{4,}/gim;
const SCHEME = /\b(Basic|Bearer) [\w+/=.~-]{8,}/gi;
const ASSIGNED = new RegExp(`(${NAME}\\\\{0,8}["']?\\s{0,64}[=:]\\s{0,64})${VALUE}`, "gi");
const OPTION = new RegExp(`((?<![\\w.-])--[\\w.-]{0,64}?${NAME} {1,64})${VALUE}`, "gi");
/** Tokens that are known by their form: of GitHub, GitLab, AWS, Slack, npm, Docker, Google, OpenAI; JSON web tokens. */
const KNOWN =
  /\b(?:gh[opsur]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|A(?:KIA|SIA)[A-Z0-9]{16}|xox[abposr]-[\w-]{10,}|npm_\w{20,}|dckr_pat_[\w-]{16,}|AIza[\w-]{30,}|sk-[\w-]{20,}|eyJ[\w-]{8,512}\.eyJ[\w-]{8,4096}\.[\w-]*)/g;

/** Keys, credentials in URLs and headers, and what follows a name that is a secret's. */
export function redact(text: string): string {
  return text
    .replaceAll(KEY_BLOCK, REMOVED)
    .replaceAll(IN_URL, `$1${REMOVED}@`)
    .replaceAll(AUTHORIZATION, `$1${REMOVED}`)
    .replaceAll(AUTH, `$1${REMOVED}`)
    .replaceAll(SCHEME, `$1 ${REMOVED}`)
    .replaceAll(ASSIGNED, `$1$<quote>${REMOVED}$<quote>`)
    .replaceAll(OPTION, `$1$<quote>${REMOVED}$<quote>`)
    .replaceAll(KNOWN, REMOVED);
}
