/** A daemon whose host has a resolver of the test's own, which it asks for its machines. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Installation } from "./installation.ts";

/** `resolvConf`: the text of the host's resolv.conf; the other processes of the host keep theirs. */
export async function startDaemonWith(
  { home, env }: Installation,
  { resolvConf, env: more = {} }: { resolvConf: string; env?: Record<string, string> },
): Promise<void> {
  const conf = join(home, "resolv.conf");
  if (!existsSync(conf)) writeFileSync(conf, resolvConf);
  const mounted = `mount --bind ${conf} "$(readlink -f /etc/resolv.conf)" && exec banger daemon start`;
  const child = Bun.spawn(["unshare", "--mount", "sh", "-c", mounted], {
    env: { ...env, ...more },
    cwd: home,
    stdio: ["ignore", "ignore", "pipe"],
  });
  if ((await child.exited) !== 0) throw new Error(await new Response(child.stderr).text());
}
