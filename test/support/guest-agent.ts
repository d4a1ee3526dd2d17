/** The real agent on this computer, built with the sanitizers and serving on a unix socket. */
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { runOk } from "#base/run.ts";
import { LIMIT_MS } from "./limit.ts";

const GUEST = join(import.meta.dir, "../../guest");
const START_TRIES = 500;

/** Compiles it into `folder`; gives the program. */
export async function buildSanitizedAgent(folder: string): Promise<string> {
  await runOk(["make", "-s", "-C", GUEST, "sanitized", `OUT=${folder}`], { timeout_ms: LIMIT_MS });
  return join(folder, "banger-vsock-agent");
}

export interface LocalAgent extends AsyncDisposable {
  readonly pid: number;
  connect(): Promise<Duplex>;
  /** What it has printed: with a sanitizer's finding it is not empty. */
  output(): Promise<string>;
}

export function startLocalAgent(program: string): LocalAgent {
  const folder = mkdtempSync(join(tmpdir(), "banger-agent-"));
  const path = join(folder, "agent.sock");
  const child = Bun.spawn([program, "serve", "--unix", path], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    env: { ASAN_OPTIONS: "detect_leaks=0" },
  });
  const output = new Response(child.stderr).text();
  return {
    pid: child.pid,
    async connect() {
      for (let tries = 0; tries < START_TRIES; tries++) {
        const socket = await connectOnce(path);
        if (socket) return socket;
        await Bun.sleep(10);
      }
      throw new Error("The agent does not listen");
    },
    async output() {
      child.kill("SIGTERM");
      return await output;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A connection, undefined if nobody listens there. */
export function connectOnce(path: string): Promise<Duplex | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => resolve(socket));
    socket.once("error", () => resolve(undefined));
  });
}
