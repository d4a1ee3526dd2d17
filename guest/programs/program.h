/*
 * The programs built into the agent: `banger-vsock-agent NAME ARGUMENT...` runs one in a process of its own,
 * as the user that the exec request names. wire/reply.h has how they answer.
 */
#ifndef BANGER_PROGRAM_H
#define BANGER_PROGRAM_H

/* Runs the program named by the first argument. Returns its exit status, or -1 if the name or the count does not match. */
int program_run(int count, char **arguments);

#endif
