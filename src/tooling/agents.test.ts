import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { agentOf, listAgents } from "./agents.ts";
import { toolingDockerfile } from "./dockerfile.ts";
import { type Plan, planPackage, withPackage } from "./plan.ts";
import { toolRules } from "./rules.ts";

test("every agent's recipe is complete", () => {
  const agents = listAgents();
  expect(agents.map(({ name }) => name)).toEqual(["claude-code", "codex", "gemini", "opencode"]);
  for (const { name, secrets, files } of agents) {
    expect(secrets.length, name).toBeGreaterThan(0);
    // Credentials go as secrets, never as files.
    for (const file of files) expect(file).not.toMatch(/auth|credential|token|oauth/i);
  }
});

test("an unknown agent names those that are known", () => {
  expect(() => agentOf("claude")).toThrow('no such agent "claude"');
});

test("an agent's package is installed after Node.js and git", () => {
  const plan = planPackage({ name: "@openai/codex", node: ">=18" });
  expect(plan.tools.map(({ rule }) => rule.name)).toEqual(["node", "git"]);
  const text = toolingDockerfile(plan, { image: "node:22", user: "node" })?.dockerfile ?? "";
  const at = text.indexOf("npm install --global --no-audit --no-fund @openai/codex");
  expect(at).toBeGreaterThan(text.indexOf("VERSION=18"));
  expect(text).toEndWith("USER node\n");
});

test("an agent has a Node.js that it runs on, also beside a project's own", () => {
  const agent = { name: "@google/gemini-cli", node: ">=20" };
  const nodeOf = (plan: Plan) => plan.tools.find(({ rule }) => rule.name === "node")?.version;
  const project = (node: string) => withPackage(planPackage({ name: "x", node }), agent);
  expect(nodeOf(planPackage(agent))).toEqual({ kind: "atLeast", number: "20" });
  expect(nodeOf(project(">=18"))).toEqual({ kind: "atLeast", number: "20" });
  expect(nodeOf(project(">=22"))).toEqual({ kind: "atLeast", number: "22" });
  const old = project("18");
  expect(nodeOf(old)).toEqual({ kind: "exactly", number: "18" });
  expect(old.notes.join()).toContain("20 or later conflicts with node 18");
  expect(project("22").notes).toEqual([]);
  expect(old.packages).toEqual(["x", "@google/gemini-cli"]);
});

test("codex is logged in with the key that the machine has, and gets its arguments", () => {
  const folder = mkdtempSync(join(tmpdir(), "banger-codex-"));
  try {
    const script = `#!/bin/sh\nfor each; do printf '[%s]' "$each"; done >>${folder}/calls\n[ "$1" != login ] || cat >>${folder}/calls\n`;
    writeFileSync(join(folder, "codex"), script, { mode: 0o755 });
    const calls = (key: string) => {
      writeFileSync(join(folder, "calls"), "");
      const PATH = `${folder}:/usr/bin:/bin`;
      const argv = [...agentOf("codex").command, "exec", "fix the tests"];
      Bun.spawnSync(argv, { env: { PATH, OPENAI_API_KEY: key } });
      return readFileSync(join(folder, "calls"), "utf8");
    };
    expect(calls("")).toBe("[exec][fix the tests]");
    expect(calls("banger_1")).toBe("[login][--with-api-key]banger_1\n[exec][fix the tests]");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("docs/agents.md has the agents", () => {
  const text = readFileSync(join(import.meta.dir, "../../docs/agents.md"), "utf8");
  for (const { name, package: npm, secrets, files } of listAgents()) {
    const shown = (names: string[], glue: string) => names.map((each) => `\`${each}\``).join(glue);
    const keys = shown(
      secrets.map((secret) => secret.name),
      " or ",
    );
    expect(text).toContain(`| \`${name}\` | \`${npm}\` | ${keys} | ${shown(files, ", ")} |`);
  }
});

test("policies of tools are profiles", () => {
  const path = join(import.meta.dir, "../net/policy/profiles.json");
  const profiles = Object.keys(JSON.parse(readFileSync(path, "utf8")));
  const named = [...toolRules().values()].flatMap(({ policy }) => policy ?? []);
  expect(named.sort()).toEqual(["crates", "go", "npm", "pypi"]);
  expect(profiles).toEqual(expect.arrayContaining(named));
});
