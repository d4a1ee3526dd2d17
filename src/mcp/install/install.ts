/** Adds the MCP server to the configuration of a client, and loses nothing that is there. */

import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { parse } from "smol-toml";
import { BangerError, messageOf } from "#base/error.ts";
import { readUserFile, writeUserFile } from "#base/files/user-file.ts";
import { MiB } from "#base/size.ts";
import { variable } from "#config/environment.ts";
import { parseJsonc, setJsonc } from "./jsonc.ts";
import type { McpClient } from "./names.ts";
import { setToml } from "./toml.ts";

const FILE_MAX_BYTES = 16 * MiB;
const NAME = "banger";

interface Server {
  command: string;
  args: readonly string[];
}

interface Format {
  parse(text: string): unknown;
  set(text: string, path: readonly string[], value: object): string;
}

const json: Format = {
  parse: (text) => (text.trim() === "" ? {} : parseJsonc(text)),
  set: setJsonc,
};
const toml: Format = { parse, set: setToml };

interface Target {
  format: Format;
  file(): string;
  /** Where the servers are. */
  group: string;
  entry(server: Server): object;
}

const targets: Record<McpClient, Target> = {
  "claude-code": {
    format: json,
    file: () => join(absolute("CLAUDE_CONFIG_DIR") ?? home(), ".claude.json"),
    group: "mcpServers",
    entry: ({ command, args }) => ({ type: "stdio", command, args, env: {} }),
  },
  codex: {
    format: toml,
    file: () => join(absolute("CODEX_HOME") ?? join(home(), ".codex"), "config.toml"),
    group: "mcp_servers",
    entry: ({ command, args }) => ({ command, args }),
  },
  cursor: {
    format: json,
    file: () => join(home(), ".cursor/mcp.json"),
    group: "mcpServers",
    entry: ({ command, args }) => ({ command, args }),
  },
  vscode: {
    format: json,
    file: () => join(configFolder(), "Code/User/mcp.json"),
    group: "servers",
    entry: ({ command, args }) => ({ type: "stdio", command, args }),
  },
  opencode: {
    format: json,
    file() {
      const [plain = "", commented = ""] = ["opencode.json", "opencode.jsonc"].map((name) =>
        join(configFolder(), "opencode", name),
      );
      return !existsSync(plain) && existsSync(commented) ? commented : plain;
    },
    group: "mcp",
    entry: ({ command, args }) => ({ type: "local", command: [command, ...args], enabled: true }),
  },
};

interface InstallRequest extends Server {
  client: McpClient;
  /** Default: the client's own of the user. */
  file?: string | undefined;
  isDryRun: boolean;
}

export interface Installed {
  client: McpClient;
  file: string;
  /** As it is in a file of its own. */
  entry: string;
  changed: boolean;
}

export function installMcp({ client, isDryRun, ...request }: InstallRequest): Installed {
  const { format, group, entry: entryOf, ...target } = targets[client];
  const file = request.file ?? target.file();
  const path = [group, NAME];
  const value = entryOf(request);
  const entry = format.set("", path, value).trimEnd();
  const old = readUserFile(file, { max_bytes: FILE_MAX_BYTES }) ?? "";
  const text = changed(old, { format, path, value, file });
  if (!isDryRun && text !== old) writeUserFile(file, text);
  return { client, file, entry, changed: text !== old };
}

interface Change {
  format: Format;
  path: readonly string[];
  value: object;
  file: string;
}

/** Checked before it is written: it has the entry, and all that was there. */
function changed(old: string, { format, path, value, file }: Change): string {
  const [group = "", name = ""] = path;
  const cannot = (reason: string): BangerError =>
    new BangerError("invalid_state", `Cannot change "${file}": ${reason}`, {
      hint: "Add the entry yourself; print it with --print",
    });
  try {
    const before = format.parse(old);
    if (isDeepStrictEqual(valueAt(before, path), value)) return old;
    const set = format.set(old, path, value);
    const text = isCrlf(old) ? set.replace(/\r?\n/g, "\r\n") : set;
    const wanted = withEntry(before, { group, name, value });
    if (isDeepStrictEqual(plain(format.parse(text)), plain(wanted))) return text;
  } catch (error) {
    throw cannot(messageOf(error));
  }
  throw cannot("its form is not supported");
}

/** Whether every line ends so. */
function isCrlf(text: string): boolean {
  return text.includes("\r\n") && !/(?<!\r)\n/.test(text);
}

function valueAt(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (node, name) => (typeof node === "object" && node ? Reflect.get(node, name) : undefined),
    value,
  );
}

function withEntry(
  before: unknown,
  { group, name, value }: { group: string; name: string; value: object },
): unknown {
  const others = valueAt(before, [group]);
  return { ...Object(before), [group]: { ...Object(others ?? {}), [name]: value } };
}

/** Without what tells objects of one parser from those of another. */
function plain(value: unknown): unknown {
  return structuredClone(
    JSON.parse(JSON.stringify(value, (_, each) => (typeof each === "bigint" ? `${each}n` : each))),
  );
}

function home(): string {
  return absolute("HOME") ?? homedir();
}

function configFolder(): string {
  return absolute("XDG_CONFIG_HOME") ?? join(home(), ".config");
}

function absolute(name: string): string | undefined {
  const value = variable(name);
  return value && isAbsolute(value) ? value : undefined;
}
