/*
 * A command of an image build, with mounts and a network of its own, as a program. Words come before the
 * command, each with its own words, in the order in which they take effect:
 *
 *     user USER                     who runs it; before "home"
 *     cwd FOLDER                    where; what is missing of it is made
 *     home                          HOME is the user's, by the machine's own /etc/passwd
 *     unset NAME                    a variable that the agent has added
 *     no-network                    nothing but a loopback of its own
 *     bind ro|rw SOURCE TARGET      a file or folder at another place
 *     tmpfs SIZE TARGET             memory, SIZE as mount(8) has it, or 0
 *     -- PROGRAM ARGUMENT...
 *
 * Targets that were not there before are gone afterwards, unless something was put there. It ends as the
 * command does; with 125 where that could not be begun, which is said on stderr.
 */
#ifndef BANGER_STEP_H
#define BANGER_STEP_H

int step_run(char **arguments);

#endif
