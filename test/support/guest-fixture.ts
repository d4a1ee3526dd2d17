/** Shared setup for tests of the guest agent's connection. */
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import { type Agent, connectAgent } from "#guest/agent.ts";
import type { ExecStream } from "#guest/exec.ts";
import { type LocalAgent, sanitizedAgent, startLocalAgent } from "./guest-agent.ts";

export interface AgentFixture {
  /** Empty, and removed after the last test. */
  readonly folder: string;
  /** The agent, with sanitizers. */
  readonly program: string;
  /** Of the test that runs. */
  readonly local: LocalAgent;
  readonly agent: Agent;
  /** Another agent in the place of one that a test has ended. */
  restart(): Promise<void>;
}

/** Gives each test of a file an agent of its own, and fails those in which a sanitizer finds something. */
export function agentFixture(): AgentFixture {
  const fixture = {} as { -readonly [Name in keyof AgentFixture]: AgentFixture[Name] };
  fixture.restart = async () => {
    await fixture.local[Symbol.asyncDispose]();
    fixture.local = startLocalAgent(fixture.program);
    fixture.agent = await connectAgent(await fixture.local.connect());
  };
  beforeAll(async () => {
    fixture.folder = mkdtempSync(join(tmpdir(), "banger-agent-test-"));
    fixture.program = await sanitizedAgent();
  });
  afterAll(() => rmSync(fixture.folder, { recursive: true, force: true }));
  beforeEach(async () => {
    fixture.local = startLocalAgent(fixture.program);
    fixture.agent = await connectAgent(await fixture.local.connect());
  });
  afterEach(async () => {
    fixture.agent.close();
    const output = await fixture.local.output();
    await fixture.local[Symbol.asyncDispose]();
    expect(output).toBe("");
  });
  return fixture;
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

/** The code of the error that a promise rejects with. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => "no error",
    (error: unknown) => (error instanceof BangerError ? error.code : String(error)),
  );
}

/** Collects stdout, granting what it takes. */
export function collectOutput(stream: ExecStream): {
  text: () => string;
  /** Resolves when the output holds `part`; the test's own timeout ends the wait. */
  until: (part: string) => Promise<void>;
} {
  let all = "";
  let wake = Promise.withResolvers<void>();
  stream.onStdout((chunk) => {
    all += textOf(chunk);
    stream.grant(chunk.length);
    wake.resolve();
    wake = Promise.withResolvers();
  });
  return {
    text: () => all,
    until: async (part) => {
      while (!all.includes(part)) await wake.promise;
    },
  };
}

/** Resolves when there is no such process; the test's own timeout ends the wait. */
export async function processGone(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await Bun.sleep(10);
  }
}
