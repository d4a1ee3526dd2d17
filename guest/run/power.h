/* Shuts the VM down or reboots it, in every boot mode. */
#ifndef BANGER_POWER_H
#define BANGER_POWER_H

#include <stdbool.h>

/* Allows power requests. Not called when the agent serves a unix socket, where it would shut down the host. */
void power_enable(void);

/* Requests a shutdown or reboot; false if that is not allowed. */
bool power_request(bool reboot);

bool power_is_requested(void);

/* Carries out the request: signals systemd, or kills all processes, unmounts and powers off. */
void power_perform(void);

/* Terminates every process except PID 1 and the caller: SIGTERM, then SIGKILL. */
void power_end_processes(void);

/*
 * Runs as PID 1 again after systemd has shut down, when the old root is unused and its disks can be
 * unmounted. `verb` is "poweroff", "reboot", "halt" or "kexec".
 */
_Noreturn void power_finish(const char *verb);

#endif
