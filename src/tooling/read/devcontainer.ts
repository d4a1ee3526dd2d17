/**
 * devcontainer.json: its image, the features whose tools are known, commands, environment and ports.
 * Format: https://containers.dev/implementors/json_reference/
 */

import { quoteWord } from "#base/shell/word.ts";
import type { Command, Findings, Pin, Reader } from "#tooling/findings.ts";
import { isRecord, type Project } from "#tooling/project.ts";

const FILES = [".devcontainer/devcontainer.json", ".devcontainer.json"];
/** Names of features that are not those of the tools. */
const FEATURE_TOOLS: Record<string, string> = { "common-utils": "git", ruby: "ruby" };
/** In the order in which they run when a container is created. */
const COMMANDS = ["onCreateCommand", "updateContentCommand", "postCreateCommand"];

export const readDevcontainer: Reader = (project): Findings | undefined => {
  const file = FILES.find((name) => project.has(name));
  const data = file && project.data(file, Bun.JSONC.parse);
  if (!file || !data) return undefined;
  const image = data["image"];
  return {
    ...(typeof image === "string" ? { image: { name: image, reason: file } } : {}),
    pins: features(data["features"], file),
    commands: COMMANDS.flatMap((key) => commandsOf(data[key], `${file}: ${key}`)),
    env: { ...plainEnv(data["containerEnv"]), ...plainEnv(data["remoteEnv"]) },
    ports: portsOf(data["forwardPorts"]),
    notes: notesOf(data, file, project),
  };
};

/** "ghcr.io/devcontainers/features/node:1": { "version": "20" }. */
function features(value: unknown, file: string): Pin[] {
  return Object.entries(isRecord(value) ? value : {}).map(([id, options]) => {
    const name = id.replace(/^.*\//, "").replace(/[:@].*$/, "");
    const version = isRecord(options) ? options["version"] : options;
    return {
      tool: FEATURE_TOOLS[name] ?? name,
      version: typeof version === "string" ? version : undefined,
      reason: `${file}: feature ${name}`,
    };
  });
}

/** A line for a shell, the words of a command, or several of either, which may run at the same time. */
function commandsOf(value: unknown, reason: string): Command[] {
  if (typeof value === "string") return value.trim() === "" ? [] : [{ command: value, reason }];
  if (Array.isArray(value)) {
    return value.length === 0
      ? []
      : [{ command: value.map((x) => quoteWord(String(x))).join(" "), reason }];
  }
  return isRecord(value) ? Object.values(value).flatMap((each) => commandsOf(each, reason)) : [];
}

/** Without variables of the host or of another container, which a machine does not have. */
function plainEnv(value: unknown): Record<string, string> {
  const entries = Object.entries(isRecord(value) ? value : {});
  return Object.fromEntries(
    entries.filter(
      (entry): entry is [string, string] =>
        /^[A-Za-z_]\w*$/.test(entry[0]) && typeof entry[1] === "string" && !entry[1].includes("${"),
    ),
  );
}

function portsOf(value: unknown): number[] {
  const ports = (Array.isArray(value) ? value : []).map(Number);
  return ports.filter((port) => Number.isInteger(port) && port > 0 && port < 65_536);
}

function notesOf(data: Record<string, unknown>, file: string, project: Project): string[] {
  const notes: string[] = [];
  const dockerfile = isRecord(data["build"]) ? data["build"]["dockerfile"] : data["dockerFile"];
  if (typeof dockerfile === "string") {
    const path = `.devcontainer/${dockerfile}`;
    const shown = project.has(path) ? path : dockerfile;
    notes.push(
      `${file}: has a Dockerfile; build it with: banger image build -f ${quoteWord(shown)} .`,
    );
  }
  if (data["dockerComposeFile"] !== undefined) notes.push(`${file}: dockerComposeFile is not used`);
  return notes;
}
