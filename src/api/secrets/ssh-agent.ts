/** The user's ssh agent as machines may use it: for logins to named hosts. */
import { z } from "zod";

const HOSTS_MAX = 16;
const PATH_MAX = 107;

/** As in known_hosts, with ":PORT" in place of its brackets. */
const sshHost = z
  .string()
  .max(260)
  .regex(/^[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?(:[1-9]\d{0,4})?$/, {
    error: 'ssh agents are for names of hosts, such as "github.com" or "git.example.com:2222"',
  });

export const sshAgent = z.object({
  hosts: z.array(sshHost).min(1).max(HOSTS_MAX),
  /** On the host: SSH_AUTH_SOCK of the user. */
  socket: z.string().max(PATH_MAX).startsWith("/"),
});
export type SshAgent = z.infer<typeof sshAgent>;
