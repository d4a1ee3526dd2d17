/*
 * The program `step`: runs a command of an image build with mounts and a network of its own. Options come before the
 * command and take effect in order:
 *
 *     user USER                     run as this user; must come before "home"
 *     cwd DIRECTORY                 working directory; created if missing
 *     home                          set HOME from the VM's own /etc/passwd
 *     unset NAME                    remove an environment variable that the agent added
 *     no-network                    a network namespace with a loopback device only
 *     bind ro|rw SOURCE TARGET      bind mount
 *     tmpfs SIZE TARGET             tmpfs, SIZE as in mount(8), or 0
 *     -- PROGRAM ARGUMENT...
 *
 * Mount targets that did not exist are removed afterwards unless something was written there. Exits with the
 * command's status, or with 125 and a message on stderr if the command could not be started.
 */
#ifndef BANGER_STEP_H
#define BANGER_STEP_H

int step_run(char **arguments);

#endif
