/** Files whose only purpose is to pin versions: .tool-versions, mise.toml, .nvmrc and their like. */
import { parse as parseToml } from "smol-toml";
import type { Findings, Pin, Reader } from "#tooling/findings.ts";
import { at, isRecord, type Project } from "#tooling/project.ts";

const MISE_FILES = ["mise.toml", ".mise.toml", ".config/mise.toml", "mise/config.toml"];

/** "nodejs 20.1.0 18.0.0 # comment": the first version counts. */
export const readToolVersions: Reader = (project) => {
  const lines = project.text(".tool-versions")?.split("\n") ?? [];
  const pins = lines
    .map((line) => line.replace(/#.*/, "").trim().split(/\s+/))
    .filter(([tool]) => tool)
    .map(([tool = "", version]): Pin => ({ tool, version, reason: `.tool-versions: ${tool}` }));
  return { pins };
};

/** A tool's value is "20", ["20", "18"] or { version = "20" }. */
export const readMise: Reader = (project) => {
  const pins: Pin[] = [];
  for (const file of MISE_FILES) {
    const tools = at(project.data(file, parseToml), "tools");
    if (!isRecord(tools)) continue;
    for (const [tool, value] of Object.entries(tools)) {
      const first = Array.isArray(value) ? value[0] : value;
      const version = isRecord(first) ? at(first, "version") : first;
      pins.push({ tool, version: textOf(version), reason: `${file}: ${tool}` });
    }
  }
  return { pins };
};

/** Files with nothing but a version, by the tool. */
const VERSION_FILES = [
  ["node", ".nvmrc"],
  ["node", ".node-version"],
  ["python", ".python-version"],
  ["ruby", ".ruby-version"],
  ["java", ".java-version"],
  ["go", ".go-version"],
] as const;

export const readVersionFiles: Reader = (project): Findings => {
  const pins = VERSION_FILES.flatMap(([tool, file]): Pin[] => {
    const line = firstLine(project, file);
    if (line === undefined) return [];
    return [{ tool, version: line.replace(/^(ruby|go|python)-?/, ""), reason: file }];
  });
  return { pins };
};

function firstLine(project: Project, file: string): string | undefined {
  const lines = project.text(file)?.split("\n") ?? [];
  return lines.map((line) => line.replace(/#.*/, "").trim()).find((line) => line !== "");
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" || typeof value === "number" ? String(value) : undefined;
}
