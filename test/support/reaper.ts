/**
 * Ends what a test or benchmark that was killed has left: every process that names its folder (VMMs, daemons,
 * registries), the network of its installation, the folder itself. `startReaper()` has it wait for the end of the process that calls; then it runs as a
 * program of its own: `bun reaper.ts FOLDER BRIDGE`.
 */
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { processesOf } from "./processes.ts";

/** Its standard input ends with the process that holds the other end, however that ends. */
const WAIT = '[ -n "$(cat)" ] || [ ! -d "$1" ] || exec "$3" "$4" "$1" "$2"';

export interface Reaper extends Disposable {
  readonly pid: number;
}

/** Until disposed of, or until the folder is removed. `bridge`: of an installation. */
export function startReaper(folder: string, bridge = ""): Reaper {
  const argv = ["sh", "-c", WAIT, "reaper", folder, bridge, process.execPath, import.meta.path];
  // In a session of its own: whoever ends the test's process group shall not end this.
  const child = Bun.spawn(argv, {
    detached: true,
    cwd: "/",
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
  });
  child.unref();
  return {
    pid: child.pid,
    [Symbol.dispose]() {
      child.stdin.write("over\n");
      child.stdin.end();
    },
  };
}

/** Whatever of it is there; nothing else depends on it any more. */
async function reap(folder: string, bridge: string): Promise<void> {
  for (let left = processesOf(folder); left.length > 0; left = processesOf(folder)) {
    for (const { pid } of left) attempt(() => process.kill(pid, "SIGKILL"));
    await Bun.sleep(20);
  }
  const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
  for (const path of mounts.flatMap((line) => line.split(" ")[1] ?? [])) {
    if (path.startsWith(`${folder}/`)) run("umount", "-l", path);
  }
  if (bridge !== "") unlink(bridge);
  // The installation's home is this folder or one in it.
  const homes = [folder, ...readdirSync(folder).map((name) => join(folder, name))];
  for (const vms of homes.map((home) => join(home, "state/banger/vms")).filter(existsSync)) {
    for (const id of readdirSync(vms)) attempt(() => rmdirSync(join("/sys/fs/cgroup/banger", id)));
  }
  rmSync(folder, { recursive: true, force: true });
}

function unlink(bridge: string): void {
  const net = "/sys/class/net";
  const ports = join(net, bridge, "brif");
  for (const link of existsSync(ports) ? readdirSync(ports) : []) run("ip", "link", "del", link);
  if (existsSync(join(net, bridge))) run("ip", "link", "del", bridge);
  for (const family of ["inet", "ip", "ip6", "bridge"]) {
    run("nft", "delete", "table", family, `banger_${bridge}`);
  }
}

function run(...argv: string[]): void {
  attempt(() => Bun.spawnSync(argv, { stdout: "ignore", stderr: "ignore" }));
}

function attempt(act: () => unknown): void {
  try {
    act();
  } catch {
    // It is gone already, or was never there.
  }
}

if (import.meta.main) {
  const [folder = "", bridge = ""] = process.argv.slice(2);
  if (/^\/tmp\/(bgr|banger)-[\w-]+$/.test(folder)) await reap(folder, bridge);
}
