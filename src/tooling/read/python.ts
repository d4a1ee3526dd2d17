/** pyproject.toml, requirements.txt, and the lock files of uv, Poetry and Pipenv. */
import { parse as parseToml } from "smol-toml";
import type { Command, Findings, Pin, Reader } from "#tooling/findings.ts";
import { at, type Project } from "#tooling/project.ts";

const VENV = "python3 -m venv .venv && .venv/bin/pip install --disable-pip-version-check";

export const readPython: Reader = (project): Findings | undefined => {
  const data = project.data("pyproject.toml", parseToml);
  const install = installOf(project, data);
  if (data === undefined && install === undefined) return undefined;
  const pins: Pin[] = [];
  const required = [
    ["project.requires-python", at(data, "project", "requires-python")],
    ["tool.poetry.dependencies.python", at(data, "tool", "poetry", "dependencies", "python")],
  ] as const;
  for (const [key, version] of required) {
    if (typeof version !== "string") continue;
    pins.push({ tool: "python", version, reason: `pyproject.toml: ${key}` });
  }
  if (install?.tool) pins.push({ tool: install.tool, reason: install.reason });
  pins.push({ tool: "python", reason: install?.reason ?? "pyproject.toml" });
  return { pins, commands: install ? [install] : [] };
};

function installOf(project: Project, data: unknown): (Command & { tool?: string }) | undefined {
  if (project.has("uv.lock")) {
    return { tool: "uv", command: "uv sync --frozen", reason: "uv.lock" };
  }
  if (project.has("poetry.lock")) {
    return { tool: "poetry", command: "poetry install --no-interaction", reason: "poetry.lock" };
  }
  if (project.has("Pipfile.lock")) {
    return { tool: "pipenv", command: "pipenv sync", reason: "Pipfile.lock" };
  }
  if (project.has("requirements.txt")) {
    return { command: `${VENV} -r requirements.txt`, reason: "requirements.txt" };
  }
  if (at(data, "project", "name") !== undefined) {
    return { command: `${VENV} -e .`, reason: "pyproject.toml: project" };
  }
  return undefined;
}
