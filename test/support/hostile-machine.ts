/** A machine whose agent a test plays, in an installation with a daemon that must survive it. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { MiB } from "#base/size.ts";
import { pullBusybox } from "./busybox.ts";
import { HostileAgent, WAITING, writeQemuWrapper } from "./hostile-agent.ts";
import { type Installation, install } from "./installation.ts";

const MEMORY_MAX_BYTES = 400 * MiB;

export interface HostileMachine extends AsyncDisposable {
  banger: Installation;
  agent: HostileAgent;
  /** Exit status and first line of stderr of a call whose programs in the machine all print this. */
  answered(output: Uint8Array, ...args: string[]): Promise<string>;
  daemonPid(): Promise<number>;
  /** Fails unless the same daemon runs, which has never taken more memory than it may. */
  assertWell(pid: number): Promise<void>;
}

/** The machine is called `name`, and runs in the direct mode. */
export async function startHostileMachine(name: string): Promise<HostileMachine> {
  // Every verb is tried here, so that each of them meets such a home.
  const banger = install({ name: "o'brien é 5%" });
  writeQemuWrapper(join(banger.home, "qemu"));
  await pullBusybox(banger);
  await banger.ok("daemon", "stop");
  const config = join(banger.home, "config/banger/config.toml");
  const settings = readFileSync(config, "utf8");
  // Nobody plays the agent of a second VMM, which would restore what the first one booted.
  const own = `qemu_bin = "${banger.home}/qemu"\nqemu_jail = "off"\nvmm = "qemu"\nvm.templates = "off"\n`;
  await Bun.write(config, `${own}${settings}`);
  const flags = ["--image", "busybox", "--name", name, "--mode", "direct", "--net", "none"];
  const creating = banger.ok("vm", "create", ...flags);
  const agent = await playAgent(banger);
  await creating;
  const daemonPid = async () => (await banger.json<{ pid: number }>("daemon", "status")).pid;
  return {
    banger,
    agent,
    daemonPid,
    async answered(output, ...args) {
      agent.onOpen = (opening) => opening.answer(output);
      const { status, stderr } = await banger.call(args);
      return `${status} ${stderr.split("\n")[0]}`;
    },
    async assertWell(pid) {
      if ((await daemonPid()) !== pid) throw new Error("the daemon has ended");
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      const peak_bytes = Number(/^VmHWM:\s*(\d+)/m.exec(status)?.[1]) * 1024;
      if (!(peak_bytes < MEMORY_MAX_BYTES)) throw new Error(`the daemon took ${peak_bytes} bytes`);
    },
    async [Symbol.asyncDispose]() {
      await banger[Symbol.asyncDispose]();
      agent.close();
    },
  };
}

/** The agent of the machine that starts next, as soon as its VMM waits for it. */
export async function playAgent(banger: Installation): Promise<HostileAgent> {
  const parent = join(banger.home, "run/banger/vm");
  for (;;) {
    const ids = existsSync(parent) ? readdirSync(parent) : [];
    const id = ids.find(
      (one) =>
        existsSync(join(parent, one, WAITING)) && !existsSync(join(parent, one, "agent.sock")),
    );
    if (id) return new HostileAgent(join(parent, id, "agent.sock"));
    await Bun.sleep(1);
  }
}
