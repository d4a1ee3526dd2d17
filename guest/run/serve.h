/* The agent proper: one loop that serves the host until the machine goes down. */
#ifndef BANGER_SERVE_H
#define BANGER_SERVE_H

#include <sys/types.h>

/*
 * Serves on the machine's port, or its vsock. With a path it serves on a unix socket there and leaves
 * the machine alone: no power-off, no phases, no files in /run.
 */
_Noreturn void serve(const char *socket_path);

/* Starts an agent as a process of its own and waits until it can be reached; gives its pid, -1 on failure. */
pid_t serve_in_background(void);

#endif
