/** The guest agent on the host, with a directory for its root: what it writes and runs is all in there. */
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Agent, connectAgent } from "#guest/agent.ts";
import { connectOnce } from "./guest-agent.ts";

const BUILT = new URL("../../build/bin/banger-vsock-agent", import.meta.url).pathname;
const PREPARE = 'for each in dev proc; do mount --rbind /$each "$1/$each"; done; shift; exec "$@"';

export interface RootedAgent extends AsyncDisposable {
  readonly agent: Agent;
}

/** Needs root. What is mounted in `root` meanwhile is seen by the agent alone. */
export async function startRootedAgent(root: string): Promise<RootedAgent> {
  for (const each of ["dev", "proc", ".agent"]) mkdirSync(join(root, each), { recursive: true });
  copyFileSync(BUILT, join(root, ".agent/program"));
  const serve = ["/.agent/program", "serve", "--unix", "/.agent/socket"];
  const argv = ["unshare", "--mount", "sh", "-c", PREPARE, "sh", root, "chroot", root, ...serve];
  const child = Bun.spawn(argv, { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await child.exited;
  };
  while (child.exitCode === null) {
    const socket = await connectOnce(join(root, ".agent/socket"));
    if (!socket) {
      await Bun.sleep(10);
      continue;
    }
    const agent = await connectAgent(socket);
    const dispose = async (): Promise<void> => {
      agent.close();
      await stop();
    };
    return { agent, [Symbol.asyncDispose]: dispose };
  }
  throw new Error(`the agent does not listen: ${await new Response(child.stderr).text()}`);
}
