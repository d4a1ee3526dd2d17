/** Looks up users and groups of the host, from any name service. */
import { BangerError } from "#base/error.ts";
import { run } from "#base/run.ts";
import { pathsOfUser, sudoUser_uid } from "#config/environment.ts";
import { type Config, currentPaths, resolveConfig } from "#config/resolve.ts";

export interface Account {
  name: string;
  user_uid: number;
  user_gid: number;
  home: string;
}

/** By name or number. `not_found` when there is none. */
export async function findAccount(who: string): Promise<Account> {
  const { exitCode, stdout } = await run(["getent", "passwd", "--", who]);
  // passwd(5): name, password, uid, gid, comment, home, shell.
  const [name, , uid, gid, , home] = stdout.split("\n", 1)[0]?.split(":") ?? [];
  if (exitCode === 0 && name && home && /^\d+$/.test(uid ?? "") && /^\d+$/.test(gid ?? "")) {
    return { name, user_uid: Number(uid), user_gid: Number(gid), home };
  }
  throw new BangerError("not_found", `no such user "${who}"`);
}

/** Who runs this program, or as root by way of sudo. */
export function callerUid(): number {
  return process.getuid?.() || sudoUser_uid() || 0;
}

/** As that user's daemon has it, read with that user's rights. */
export async function configOf(user_uid: number): Promise<Config> {
  if (user_uid === process.getuid?.()) return await resolveConfig(undefined, currentPaths());
  const account = await findAccount(String(user_uid));
  return await resolveConfig(undefined, pathsOfUser(account), account);
}
