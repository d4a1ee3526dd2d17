/* How the first-boot script reports: phases, and what its programs print. */
#ifndef BANGER_NOTIFY_H
#define BANGER_NOTIFY_H

/*
 * "notify PHASE [TEXT]", "notify --log FILE PHASE [TEXT]" (with the end of the file), or
 * "notify --lines" (each line of stdin goes to the agent, to the install log and to stdout).
 * Gives the exit status; an agent that is not there is no failure.
 */
int notify_run(int count, char **arguments);

#endif
