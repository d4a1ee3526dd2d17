/* The processes that the agent started, and those that it has to reap as PID 1. */
#ifndef BANGER_PROCESS_H
#define BANGER_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Notes a process that leads its own group and belongs to a stream. False if the table is full. */
bool process_add(pid_t pid, uint32_t stream);

/* Hangs up the group of a process; it is killed if it has not ended some time later. */
void process_hang_up(pid_t pid);

/* Reaps all that ended and tells the streams. */
void process_reap(void);

/* Kills what is overdue; gives the milliseconds until that is needed next, -1 if nothing waits. */
int process_kill_overdue(void);

#endif
