/* The program `notify`: reports boot phases and installation output from the first-boot script. */
#ifndef BANGER_NOTIFY_H
#define BANGER_NOTIFY_H

/*
 * "notify PHASE [TEXT]", "notify --log FILE PHASE [TEXT]" (with the tail of the file), or
 * "notify --lines" (copies each line of stdin to the agent, the installation log and stdout).
 * Returns the exit status; a missing agent is not an error.
 */
int notify_run(int count, char **arguments);

#endif
