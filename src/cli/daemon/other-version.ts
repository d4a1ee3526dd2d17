import type { DaemonVersion } from "#api/exec-constants.ts";
import { version } from "#base/version.ts";

/** Says so when the daemon is another banger than this one. */
export function noteOther(daemon: DaemonVersion, note: (text: string) => void): void {
  if (daemon.version === version.version && daemon.commit === version.commit) return;
  note(
    `note: the daemon is banger ${daemon.version} (${daemon.commit}), this is ${version.version} (${version.commit}); update it with: banger daemon restart`,
  );
}
