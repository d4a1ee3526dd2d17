import { afterEach, expect, test } from "bun:test";
import type { Context } from "#cli/context.ts";
import { agentOf } from "#tooling/agents.ts";
import { credentialsOf } from "./credentials.ts";

const NAMES = ["ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"];
const before = NAMES.map((name) => process.env[name]);

afterEach(() => {
  for (const [at, name] of NAMES.entries()) {
    const value = before[at];
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
});

/** A daemon whose keyring has these names. */
function contextOf(kept: string[], notes: string[] = []): Context {
  const list = async () => kept.map((name) => ({ name }));
  const client = { secret: { list } };
  return {
    daemon: async () => client,
    interrupt: { signal: new AbortController().signal },
    output: { note: (text: string) => notes.push(text) },
  } as unknown as Context;
}

const agent = agentOf("claude-code");
const flags = { unsafeCredentials: false, secret: [] };

test("credentials of the environment come first, then those of the keyring", async () => {
  for (const name of NAMES) delete process.env[name];
  expect(await credentialsOf(contextOf(["ANTHROPIC_API_KEY"]), agent, flags)).toEqual({
    secret: ["ANTHROPIC_API_KEY@api.anthropic.com,header=x-api-key"],
    env: [],
  });
  process.env["CLAUDE_CODE_OAUTH_TOKEN"] = "value";
  expect(await credentialsOf(contextOf(["ANTHROPIC_API_KEY"]), agent, flags)).toEqual({
    secret: ["CLAUDE_CODE_OAUTH_TOKEN=env:CLAUDE_CODE_OAUTH_TOKEN@api.anthropic.com"],
    env: [],
  });
});

test("a value is put into the machine only when asked for", async () => {
  const unsafe = { unsafeCredentials: true, secret: [] };
  for (const name of NAMES) delete process.env[name];
  await expect(credentialsOf(contextOf([]), agent, unsafe)).rejects.toThrow(
    "--unsafe-credentials requires ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN",
  );
  process.env["ANTHROPIC_API_KEY"] = "value";
  expect(await credentialsOf(contextOf([]), agent, unsafe)).toEqual({
    secret: [],
    env: ["ANTHROPIC_API_KEY"],
  });
});

test("without credentials a note says how to set them", async () => {
  for (const name of NAMES) delete process.env[name];
  const notes: string[] = [];
  expect(await credentialsOf(contextOf([], notes), agent, flags)).toEqual({ secret: [], env: [] });
  expect(notes.join()).toContain("banger secret set ANTHROPIC_API_KEY");
});
