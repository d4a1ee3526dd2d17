import { afterEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { toolingDockerfile } from "./dockerfile.ts";
import { type Plan, planTooling } from "./plan.ts";
import { Project } from "./project.ts";
import { FAMILIES, toolRules } from "./rules.ts";
import { describeVersion, doesMeet, parseVersion } from "./version.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function project(files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), "banger-plan-"));
  folders.push(folder);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

function planOf(files: Record<string, string>): Plan {
  return planTooling(project(files));
}

/** "node 20" or "make", in order, and the commands. */
function summary({ tools, commands }: Plan): [string[], string[]] {
  return [
    tools.map(({ rule, version }) =>
      version ? `${rule.name} ${describeVersion(version)}` : rule.name,
    ),
    commands.map(({ command }) => command),
  ];
}

test.each<[Record<string, string>, string[], string[]]>([
  [
    { ".tool-versions": "nodejs 20.1.0 18.2.0 # x\n\ngolang 1.22\n" },
    ["node 20.1.0", "go 1.22"],
    [],
  ],
  [
    { "mise.toml": '[tools]\nnode = ["22", "20"]\npython = { version = "3.12" }\n' },
    ["node 22", "python 3.12"],
    [],
  ],
  [{ ".nvmrc": "v20\n", ".python-version": "python-3.11\n" }, ["node 20", "python 3.11"], []],
  [{ "package.json": '{"engines":{"node":">=18 <23"}}' }, ["node 18 or later"], []],
  [{ "package.json": "{}", "package-lock.json": "{}" }, ["node"], ["npm ci"]],
  [{ "package.json": '{"dependencies":{"a":"1"}}' }, ["node"], ["npm install"]],
  [
    { "package.json": '{"packageManager":"pnpm@9.1.0+sha512.ab"}', "pnpm-lock.yaml": "" },
    ["node", "pnpm 9.1.0"],
    ["pnpm install --frozen-lockfile"],
  ],
  [{ "package.json": "{}", "yarn.lock": "" }, ["node", "yarn"], ["yarn install --frozen-lockfile"]],
  [
    { "package.json": "{}", "yarn.lock": "", ".yarnrc.yml": "" },
    ["node", "yarn"],
    ["yarn install --immutable"],
  ],
  [{ "package.json": "{}", "bun.lock": "" }, ["node", "bun"], ["bun install --frozen-lockfile"]],
  [{ "deno.json": "{}" }, ["node", "deno"], []],
  [
    { "go.mod": "module a\n\ngo 1.22\n\ntoolchain go1.22.4\n", "go.sum": "" },
    ["go 1.22.4 or later"],
    ["go mod download"],
  ],
  [
    { "Cargo.toml": '[package]\nrust-version = "1.70"\n', "Cargo.lock": "" },
    ["rust 1.70 or later"],
    ["cargo fetch --locked"],
  ],
  [{ "rust-toolchain.toml": '[toolchain]\nchannel = "1.78.0"\n' }, ["rust 1.78.0"], []],
  [
    { "requirements.txt": "flask\n" },
    ["python"],
    [
      "python3 -m venv .venv && .venv/bin/pip install --disable-pip-version-check -r requirements.txt",
    ],
  ],
  [
    { "pyproject.toml": '[project]\nname = "a"\nrequires-python = ">=3.9,<4"\n', "uv.lock": "" },
    ["python 3.9 or later", "uv"],
    ["uv sync --frozen"],
  ],
  [
    { "pyproject.toml": '[tool.poetry.dependencies]\npython = "^3.10"\n', "poetry.lock": "" },
    ["python 3", "poetry"],
    ["poetry install --no-interaction"],
  ],
  [{ Gemfile: 'ruby "3.2.1"\ngem "rack"\n' }, ["ruby 3.2.1"], ["bundle install"]],
  [
    { "pom.xml": "<project><maven.compiler.release>17</maven.compiler.release></project>" },
    ["java 17", "maven"],
    ["mvn --batch-mode --quiet dependency:go-offline"],
  ],
  [
    {
      "build.gradle.kts": "java { toolchain { languageVersion = JavaLanguageVersion.of(21) } }",
      gradlew: "",
    },
    ["java 21"],
    [],
  ],
  [
    { "composer.json": '{"require":{"php":"~8.2"}}' },
    ["php 8.2", "composer"],
    ["composer install --no-interaction"],
  ],
  [{ Makefile: "all:\n\t$(CC) -o a a.c\n" }, ["make", "c"], []],
  [{ "CMakeLists.txt": "" }, ["cmake", "make", "c"], []],
  [{}, [], []],
])("plans %j", (files, tools, commands) => {
  expect(summary(planOf(files))).toEqual([tools, commands]);
});

test("the file that only pins comes before the others, and a conflict is noted", () => {
  const plan = planOf({ ".nvmrc": "18", "package.json": '{"engines":{"node":">=20"}}' });
  expect(summary(plan)[0]).toEqual(["node 18"]);
  expect(plan.notes).toEqual([
    "package.json: engines.node: 20 or later conflicts with node 18 (.nvmrc is 18), which is used",
  ]);
});

test("reads a devcontainer.json with comments", () => {
  const plan = planOf({
    ".devcontainer/devcontainer.json": `{
      // An image
      "image": "debian:bookworm",
      "features": { "ghcr.io/devcontainers/features/node:1": { "version": "20" }, "x/y/terraform:1": {} },
      "postCreateCommand": ["echo", "it's"],
      "onCreateCommand": { "a": "make a", "b": "make b" },
      "forwardPorts": [3000, "db:5432", 70000],
      "remoteEnv": { "A": "1", "PATH": "\${containerEnv:PATH}:/x" },
    }`,
  });
  expect(summary(plan)).toEqual([["node 20"], ["make a", "make b", "echo 'it'\\''s'"]]);
  expect(plan).toMatchObject({
    image: { name: "debian:bookworm" },
    ports: [3000],
    env: { A: "1" },
  });
  expect(plan.notes).toEqual([
    '.devcontainer/devcontainer.json: feature terraform: no recipe for "terraform"; install it with --setup',
  ]);
});

test("a file that cannot be read is noted, and one outside of the project is not read", () => {
  const folder = project({ "package.json": "{", ".nvmrc": "lts/iron\n" });
  symlinkSync("/etc/passwd", join(folder, "go.mod"));
  mkdirSync(join(folder, "Gemfile"));
  const plan = planTooling(folder);
  expect(summary(plan)[0]).toEqual(["node"]);
  expect(plan.notes.join("\n")).toMatch(
    /package\.json: not read: .*\ngo\.mod: not read: it leads out of the project\n/,
  );
  expect(plan.notes.join("\n")).toContain('.nvmrc: "lts/iron" is not a version number');
  // A build gets the lock files of the project, and nothing that they may be links to.
  symlinkSync("/etc/passwd", join(folder, "package-lock.json"));
  expect(() => new Project(folder).read("package-lock.json")).toThrow(
    "it leads out of the project",
  );
  expect(() => planTooling(join(folder, "none"))).toThrow("is not a directory");
});

test.each([
  ["20", "20"],
  ["v20.1.0", "20.1.0"],
  ["20.x", "20"],
  ["^20.1", "20"],
  ["^0.4.1", "0.4"],
  ["~3.11.2", "3.11"],
  ["~> 3.2.1", "3.2"],
  [">= 18", "18 or later"],
  [">=18.1 <21", "18.1 or later"],
  ["~=3.11", "3.11 or later"],
  ["==3.11.*", "3.11"],
  ["18 || 20", "20"],
  ["<21", undefined],
  ["latest", undefined],
  ["1; rm -rf /", undefined],
  ["$(id)", undefined],
])("version %s is %p", (text, expected) => {
  const version = parseVersion(text);
  expect(version && describeVersion(version)).toBe(expected as string);
});

test("every recipe is complete", () => {
  for (const rule of toolRules().values()) {
    expect(rule.packages ?? rule.install ?? rule.version?.install, rule.name).toBeDefined();
    if (rule.packages)
      expect(Object.keys(rule.packages).sort(), rule.name).toEqual([...FAMILIES].sort());
    for (const name of rule.requires) expect(toolRules().has(name), name).toBe(true);
  }
});

/** The bodies of the here-documents. */
function scripts(dockerfile: string): string[] {
  return [...dockerfile.matchAll(/<<'TOOLING'\n(.*?)\nTOOLING$/gms)].map(([, body = ""]) => body);
}

test("the scripts of every tool, of any version and of one, are shell", () => {
  const lines = [...toolRules().keys()].flatMap((name) => [`${name} 1.2`]);
  const pinned = planOf({ ".tool-versions": lines.join("\n") });
  const any = { ...pinned, tools: pinned.tools.map((tool) => ({ ...tool, version: undefined })) };
  for (const plan of [pinned, any]) {
    const text = toolingDockerfile(plan, { image: "debian:bookworm", user: "app" });
    expect(text?.dockerfile).toEndWith("\nUSER app\n");
    const bodies = scripts(text?.dockerfile ?? "");
    expect(bodies.length).toBeGreaterThan(5);
    for (const body of bodies) {
      const shell = Bun.spawnSync(["sh", "-n"], { stdin: Buffer.from(body) });
      expect(shell.stderr.toString()).toBe("");
    }
  }
});

/** Runs the script of one tool with programs of our own, and gives what it has called. */
function runStep(pin: string, have: string): { calls: string; exitCode: number; stderr: string } {
  const plan = planOf({ ".nvmrc": pin });
  const [, body = ""] = scripts(
    toolingDockerfile(plan, { image: "x", user: undefined })?.dockerfile ?? "",
  );
  const bin = project({
    node: `#!/bin/sh\ncat "$(dirname "$0")/version"\n`,
    npm: `#!/bin/sh\necho "$@" >> "$(dirname "$0")/calls"\necho v20.9.1 > "$(dirname "$0")/version"\n`,
    version: `v${have}\n`,
    calls: "",
  });
  Bun.spawnSync(["chmod", "755", join(bin, "node"), join(bin, "npm")]);
  const shell = Bun.spawnSync(["sh"], {
    stdin: Buffer.from(body),
    env: { PATH: `${bin}:/usr/bin:/bin` },
  });
  const calls = Bun.spawnSync(["cat", join(bin, "calls")]).stdout.toString();
  return { calls, exitCode: shell.exitCode, stderr: shell.stderr.toString() };
}

test("another version is installed only if the one that is there does not meet the pin", () => {
  expect(runStep("18", "18.19.0")).toEqual({ calls: "", exitCode: 0, stderr: "" });
  expect(runStep(">=18.3", "18.19.0")).toEqual({ calls: "", exitCode: 0, stderr: "" });
  expect(runStep("20", "18.19.0")).toEqual({
    calls: "install --global --no-audit --no-fund node@20\n",
    exitCode: 0,
    stderr: "",
  });
  const failed = runStep("22", "18.19.0");
  expect(failed.exitCode).toBe(1);
  expect(failed.stderr).toContain("node: 20.9.1 is installed, but the project needs 22\n");
});

test("nothing to install needs no build", () => {
  expect(toolingDockerfile(planOf({}), { image: "x", user: undefined })).toBeUndefined();
});

test("a shell's and doesMeet()'s comparison agree", () => {
  for (const [number, pin, meets] of [
    ["18.19.0", "18", true],
    ["1.9.0", ">=1.10", false],
    ["1.10.0", ">=1.9", true],
    ["180.1", "18", false],
    ["3.11", ">=3.11.0", true],
  ] as const) {
    const version = parseVersion(pin);
    expect(version && doesMeet(number, version), `${number} ${pin}`).toBe(meets);
  }
});
