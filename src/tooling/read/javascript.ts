/** package.json and the lock files of npm, pnpm, Yarn, Bun and Deno. */
import type { Command, Findings, Pin, Reader } from "#tooling/findings.ts";
import { at, isRecord, type Project } from "#tooling/project.ts";

const MANAGERS = ["npm", "pnpm", "yarn", "bun"];

interface Manager {
  tool: string;
  locks: string[];
  command: string;
  warm?: string;
}

const LOCKS: Manager[] = [
  {
    tool: "npm",
    locks: ["package-lock.json", "npm-shrinkwrap.json"],
    command: "npm ci",
    warm: "npm ci --ignore-scripts --no-audit --no-fund",
  },
  {
    tool: "pnpm",
    locks: ["pnpm-lock.yaml"],
    command: "pnpm install --frozen-lockfile",
    warm: "pnpm fetch",
  },
  { tool: "bun", locks: ["bun.lock", "bun.lockb"], command: "bun install --frozen-lockfile" },
];

export const readJavaScript: Reader = (project): Findings | undefined => {
  const manifest = project.data("package.json", JSON.parse);
  if (manifest === undefined) return readDeno(project);
  const pins: Pin[] = [];
  const pin = (tool: string, key: string, version: unknown) => {
    if (typeof version !== "string") return;
    pins.push({ tool, version, reason: `package.json: ${key}` });
  };
  pin("node", "volta.node", at(manifest, "volta", "node"));
  pin("node", "engines.node", at(manifest, "engines", "node"));
  const [, manager = "", version] =
    /^(\w+)@([\d.]+)/.exec(String(at(manifest, "packageManager") ?? "")) ?? [];
  if (MANAGERS.includes(manager)) pin(manager, "packageManager", version);
  const install = installOf(project, manifest);
  // npm is part of Node.js; only a version of its own needs more.
  if (install && install.tool !== "npm") pins.push({ tool: install.tool, reason: install.reason });
  pins.push({ tool: "node", reason: "package.json" });
  return { pins, commands: install ? [install] : [] };
};

function installOf(
  project: Project,
  manifest: Record<string, unknown>,
): (Command & { tool: string }) | undefined {
  for (const { tool, locks, command, warm } of LOCKS) {
    const lock = locks.find((name) => project.has(name));
    if (lock === undefined) continue;
    // The packages of a workspace have manifests of their own, which a cache cannot be filled without.
    const isWhole = at(manifest, "workspaces") === undefined;
    const cache = warm && isWhole ? { warm, files: ["package.json", lock] } : {};
    return { tool, command, reason: lock, ...cache };
  }
  if (project.has("yarn.lock")) {
    const isClassic = !project.has(".yarnrc.yml");
    const flag = isClassic ? "--frozen-lockfile" : "--immutable";
    return { tool: "yarn", command: `yarn install ${flag}`, reason: "yarn.lock" };
  }
  const sections = ["dependencies", "devDependencies"].map((name) => at(manifest, name));
  const hasAny = sections.some((each) => isRecord(each) && Object.keys(each).length > 0);
  return hasAny
    ? { tool: "npm", command: "npm install", reason: "package.json: dependencies" }
    : undefined;
}

function readDeno(project: Project): Findings | undefined {
  const file = ["deno.json", "deno.jsonc", "deno.lock"].find((name) => project.has(name));
  return file === undefined ? undefined : { pins: [{ tool: "deno", reason: file }] };
}
