/** Finds processes by environment and command line, so that a helper with a cleared environment is found too. */
import { readdirSync, readFileSync } from "node:fs";

export interface FoundProcess {
  pid: number;
  command: string;
}

/** Every process but this one that names `home`. */
export function processesOf(home: string): FoundProcess[] {
  const found: FoundProcess[] = [];
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      const environ = readFileSync(`/proc/${pid}/environ`, "utf8");
      if (command === "" || !`${command}\0${environ}`.includes(home)) continue;
      found.push({ pid, command: command.slice(0, 200) });
    } catch {
      // It has ended, or is somebody else's.
    }
  }
  return found;
}

/** An absent one must not become 0, which is the group of the caller. */
export function killPid(pid: number | undefined): void {
  if (pid === undefined) throw new Error("There is no process to kill");
  process.kill(pid, "SIGKILL");
}
