/** Settings of a repository that are copied to a machine: those that affect git's output, never credentials. */
import { type Git, gitOk } from "./git.ts";
import type { Repository } from "./source.ts";

/** In lower case, as git prints them, except for the middle part. */
const KEPT = [
  /^core\.(autocrlf|eol|safecrlf|filemode|ignorecase|symlinks|precomposeunicode|quotepath)$/,
  /^core\.(sparsecheckout|sparsecheckoutcone|commentchar|abbrev|whitespace)$/,
  /^(user|author|committer)\.(name|email)$/,
  /^extensions\.partialclone$/,
  /^remote\.[^\n]+\.(url|pushurl|fetch|promisor|partialclonefilter|tagopt)$/,
  /^branch\.[^\n]+\.(remote|merge|rebase|pushremote)$/,
  /^submodule\.[^\n]+\.(url|active|branch)$/,
  /^(init\.defaultbranch|pull\.rebase|pull\.ff|push\.default|merge\.conflictstyle|diff\.renames)$/,
];
/** Set by banger when it runs git, so not part of the user's settings. */
const SINGLE = /^(core|user|author|committer|extensions|init|pull|push|merge|diff)\./;

export type Config = readonly (readonly [string, string])[];

export async function readConfig(own: Git): Promise<Config> {
  const text = await gitOk(own, ["config", "--list", "--show-scope", "-z"], {
    what: "Cannot read the repository's configuration",
  });
  const parts = text.split("\0");
  const config: [string, string][] = [];
  for (let at = 0; at + 1 < parts.length; at += 2) {
    if (parts[at] === "command") continue;
    const [key = "", ...value] = (parts[at + 1] ?? "").split("\n");
    config.push([key, value.join("\n")]);
  }
  return config;
}

/** The text of a configuration file. */
export function safeConfig(config: Config, repository: Repository): string {
  const { hash, isPartial } = repository;
  const lines: [string, string][] = [
    ["core.repositoryformatversion", hash === "sha256" || isPartial ? "1" : "0"],
    ["core.bare", "false"],
    ["core.logallrefupdates", "true"],
    // Times and sizes are preserved; inode numbers and change times differ in the machine.
    ["core.checkstat", "minimal"],
    ["core.trustctime", "false"],
    ...(hash === "sha256" ? ([["extensions.objectformat", "sha256"]] as [string, string][]) : []),
  ];
  const single = new Map<string, string>();
  for (const [key, value] of config) {
    if (!KEPT.some((pattern) => pattern.test(key))) continue;
    const clean = /\.(push)?url$/.test(key) ? withoutLogin(value) : value;
    if (SINGLE.test(key)) single.set(key, clean);
    else lines.push([key, clean]);
  }
  return configText([...lines, ...single]);
}

export function configText(config: Config): string {
  return config.map(([key, value]) => section(key, value)).join("");
}

/** Settings that decide how content is compared, for git's runs in our own repositories. */
export function comparingConfig(config: Config): Config {
  const kept = /^core\.(autocrlf|eol|filemode|symlinks|ignorecase)$|^diff\.renames$/;
  return config.filter(([key]) => kept.test(key));
}

function withoutLogin(url: string): string {
  return url.replace(/^(https?|ftps?):\/\/[^/@]*@/i, "$1://");
}

function section(key: string, value: string): string {
  const first = key.indexOf(".");
  const last = key.lastIndexOf(".");
  const middle = first === last ? "" : ` "${escaped(key.slice(first + 1, last))}"`;
  return `[${key.slice(0, first)}${middle}]\n\t${key.slice(last + 1)} = "${escaped(value)}"\n`;
}

function escaped(text: string): string {
  return text.replace(/["\\]/g, "\\$&").replace(/\n/g, "\\n");
}
