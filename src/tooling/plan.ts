/** From what the files of a project pin to what a machine for it needs, each with its reason. */
import type { Command, Findings, Pin, Reader } from "./findings.ts";
import { Project } from "./project.ts";
import { readGo, readJava, readMake, readRust } from "./read/compiled.ts";
import { readDevcontainer } from "./read/devcontainer.ts";
import { readJavaScript } from "./read/javascript.ts";
import { readMise, readToolVersions, readVersionFiles } from "./read/pins.ts";
import { readPython } from "./read/python.ts";
import { readPhp, readRuby } from "./read/scripted.ts";
import { findRule, type Rule } from "./rules.ts";
import { describeVersion, doesMeet, parseVersion, type Version } from "./version.ts";

/** Of two pins of one tool the first counts: files that only pin come first. */
const READERS: Reader[] = [
  readToolVersions,
  readMise,
  readVersionFiles,
  readDevcontainer,
  readJavaScript,
  readPython,
  readGo,
  readRust,
  readRuby,
  readJava,
  readPhp,
  readMake,
];

export interface PlannedTool {
  rule: Rule;
  version: Version | undefined;
  reasons: string[];
}

export interface Plan {
  /** The directory of the project, without symbolic links; undefined if there is none. */
  project: string | undefined;
  /** The image that the project names, if it names one. */
  image: { name: string; reason: string } | undefined;
  /** In the order in which they are installed. */
  tools: PlannedTool[];
  /** Run in the project's directory in the machine, in this order. */
  commands: Command[];
  /** npm packages that are installed for all users. */
  packages: string[];
  env: Record<string, string>;
  /** That the project's programs listen on. */
  ports: number[];
  /** What was left out or could not be read, and why. */
  notes: string[];
}

/** Reads the project at `path`. Runs nothing of it. `not_found`. */
export function planTooling(path: string): Plan {
  const project = new Project(path);
  const found = READERS.map((read) => read(project)).filter((each) => each !== undefined);
  const notes = [...project.notes, ...found.flatMap((each) => each.notes ?? [])];
  return {
    project: project.folder,
    image: found.find(({ image }) => image)?.image,
    tools: toolsOf(found, notes),
    commands: found.flatMap(({ commands = [] }) => commands),
    packages: [],
    env: Object.assign({}, ...found.map(({ env }) => env)),
    ports: [...new Set(found.flatMap(({ ports = [] }) => ports))],
    notes,
  };
}

/** An npm package for all users. */
export interface Package {
  name: string;
  /** Versions of Node.js that it runs on, ">=22". */
  node: string;
}

/** What a package needs, without a project. */
export function planPackage(wanted: Package): Plan {
  const nothing = { project: undefined, image: undefined, commands: [], env: {}, ports: [] };
  return withPackage({ ...nothing, tools: [], packages: [], notes: [] }, wanted);
}

/** The project's plan with a package besides. */
export function withPackage(plan: Plan, { name, node }: Package): Plan {
  const tools = new Map(plan.tools.map((tool) => [tool.rule.name, { ...tool }]));
  const notes = [...plan.notes];
  const reason = `${name} requires it`;
  const pins = [
    { tool: "node", version: node, reason },
    { tool: "git", reason },
  ];
  addPins(tools, pins, notes);
  return { ...plan, tools: inOrder(tools), packages: [...plan.packages, name], notes };
}

function toolsOf(found: Findings[], notes: string[]): PlannedTool[] {
  const tools = new Map<string, PlannedTool>();
  const pins = found.flatMap((each) => each.pins ?? []);
  addPins(tools, pins, notes);
  return inOrder(tools);
}

function addPins(tools: Map<string, PlannedTool>, pins: readonly Pin[], notes: string[]): void {
  for (const pin of pins) {
    const rule = findRule(pin.tool);
    if (rule) addPin(tools, { rule, pin, notes });
    else notes.push(`${pin.reason}: no recipe for "${pin.tool}"; install it with --setup`);
  }
  for (const { rule } of [...tools.values()]) addRequired(tools, rule);
}

function addPin(
  tools: Map<string, PlannedTool>,
  { rule, pin, notes }: { rule: Rule; pin: Pin; notes: string[] },
): void {
  const tool = tools.get(rule.name) ?? { rule, version: undefined, reasons: [] };
  tools.set(rule.name, tool);
  const version = pin.version === undefined ? undefined : parseVersion(pin.version);
  if (pin.version !== undefined && version === undefined) {
    notes.push(`${pin.reason}: "${pin.version}" is not a version number; any version is used`);
  }
  if (version === undefined || tool.version === undefined) {
    tool.version ??= version;
    tool.reasons = [...tool.reasons, version ? `${pin.reason} is ${pin.version}` : pin.reason];
  } else if (tool.version.kind === "atLeast" && version.kind === "atLeast") {
    if (doesMeet(tool.version.number, version)) return;
    tool.version = version;
    tool.reasons = [...tool.reasons, `${pin.reason} is ${pin.version}`];
  } else if (!doesMeet(tool.version.number, version)) {
    const wanted = describeVersion(version);
    const used = `${rule.name} ${describeVersion(tool.version)}`;
    notes.push(
      `${pin.reason}: ${wanted} conflicts with ${used} (${tool.reasons[0]}), which is used`,
    );
  }
}

function addRequired(tools: Map<string, PlannedTool>, rule: Rule): void {
  for (const name of rule.requires) {
    const required = findRule(name);
    if (!required) continue;
    if (!tools.has(required.name)) {
      tools.set(required.name, {
        rule: required,
        version: undefined,
        reasons: [`${rule.name} requires it`],
      });
    }
    addRequired(tools, required);
  }
}

/** Each after those that it requires. */
function inOrder(tools: Map<string, PlannedTool>): PlannedTool[] {
  const ordered = new Set<PlannedTool>();
  const add = (tool: PlannedTool): void => {
    for (const name of tool.rule.requires) {
      const required = tools.get(name);
      if (required) add(required);
    }
    ordered.add(tool);
  };
  for (const tool of tools.values()) add(tool);
  return [...ordered];
}
