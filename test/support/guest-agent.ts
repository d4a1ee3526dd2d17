/** The real agent on this host, built with sanitizers and serving on a unix socket. */
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { runOk } from "#base/run.ts";
import { LIMIT_MS } from "./limit.ts";
import { madeOnce, RUN, removeOthers } from "./made-once.ts";

const GUEST = join(import.meta.dir, "../../guest");
const PREFIX = "sanitized-agent-";

/** The program, compiled by the first test that wants it. */
export async function sanitizedAgent(): Promise<string> {
  const hash = createHash("sha256");
  const files = readdirSync(GUEST, { recursive: true, encoding: "utf8" }).sort();
  for (const file of files.filter((name) => /\.[ch]$|(^|\/)Makefile$/.test(name))) {
    hash.update(`${file}\n`).update(readFileSync(join(GUEST, file)));
  }
  const name = `${PREFIX}${hash.digest("hex").slice(0, 16)}`;
  const folder = await madeOnce(join(RUN, name), async (staging) => {
    removeOthers(PREFIX, name);
    await runOk(["make", "-s", "-C", GUEST, "sanitized", `OUT=${staging}`], {
      timeout_ms: LIMIT_MS,
    });
  });
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
      while (child.exitCode === null) {
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
