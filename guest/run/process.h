/* Tracks the processes that the agent started and reaps all that exit. */
#ifndef BANGER_PROCESS_H
#define BANGER_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Adds a process group leader that belongs to a stream. False if the table is full. */
bool process_add(pid_t pid, uint32_t stream);

/* Sends SIGHUP to the process group, and SIGKILL if it has not exited some time later. */
void process_hang_up(pid_t pid);

/* Reaps all exited processes and notifies their streams. */
void process_reap(void);

/* Kills overdue process groups; returns the milliseconds until the next is due, -1 for none. */
int process_kill_overdue(void);

#endif
