/* The agent's event loop: serves the host until the VM shuts down. */
#ifndef BANGER_SERVE_H
#define BANGER_SERVE_H

#include <sys/types.h>

/*
 * Serves on the VM's virtio-serial port or vsock. With a path it serves on a unix socket instead, without power-off,
 * phases or files in /run.
 */
_Noreturn void serve(const char *socket_path);

/* Forks an agent and waits until it is ready; returns its pid, -1 on failure. */
pid_t serve_in_background(void);

#endif
