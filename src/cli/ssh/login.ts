/**
 * The command that an ssh session runs in the guest: what sshd would run, as far as the image has it. A POSIX sh
 * script that gets user and command as arguments.
 */
import type { ExecRequest } from "#api/exec.ts";
import { AGENT_PATH } from "./link.ts";

/** $1 the user, $2 the command; without $2 a login shell. The user's shell and home are those of passwd. */
const LOGIN = `
user=\${1%%:*} name= home= shell=
if [ -r /etc/passwd ]; then
  while IFS=: read -r name _ uid _ _ home shell || [ -n "$name" ]; do
    [ "$name" = "$user" ] || [ "$uid" = "$user" ] && break
    name= home= shell=
  done < /etc/passwd
fi
[ -n "$shell" ] && [ -x "$shell" ] || shell=/bin/sh
export USER="\${name:-$user}" LOGNAME="\${name:-$user}" HOME="\${home:-/}" SHELL="$shell"
cd "$HOME" 2>/dev/null || cd /
if [ -t 0 ]; then SSH_TTY=$(tty 2>/dev/null) && export SSH_TTY; fi
if [ $# -gt 1 ]; then exec "$shell" -c "$2"; fi
exec "$shell" -l
`;

/** The agent's own server, which needs nothing of the image: see "PROGRAMS" in src/guest/protocol.ts. */
const SFTP = [AGENT_PATH, "sftp"];

export function loginRequest(user: string, command: string | undefined): ExecRequest {
  const words = command === undefined ? [user] : [user, command];
  return { argv: ["/bin/sh", "-c", LOGIN, "sh", ...words], user, cwd: "/", stdin: true };
}

export function sftpRequest(user: string): ExecRequest {
  return { argv: SFTP, user, cwd: "/", stdin: true };
}

/** For an image without a shell: the command's words, when no shell is needed to tell them apart. */
export function plainRequest(user: string, command: string): ExecRequest | undefined {
  if (!/^[\w@%+=:,./ -]+$/.test(command)) return undefined;
  const argv = command.split(" ").filter(Boolean);
  return argv.length > 0 ? { argv, user, cwd: "/", stdin: true } : undefined;
}
