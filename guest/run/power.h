/* Orderly power-off and reboot, in every mode. */
#ifndef BANGER_POWER_H
#define BANGER_POWER_H

#include <stdbool.h>

/* Allows requests; without it an agent that runs on an ordinary computer would turn that off. */
void power_enable(void);

/* Notes that the machine shall go down; false if that is not allowed. */
bool power_request(bool reboot);

bool power_is_requested(void);

/* Does what was requested: asks systemd, or ends everything, unmounts and turns off. */
void power_perform(void);

/* Ends every process but PID 1 and the caller, first kindly. */
void power_end_processes(void);

/* Ends every process, puts the file systems to rest and turns off. As PID 1 it does not return. */
void power_down(bool reboot);

/*
 * The last program of a systemd that shuts down: PID 1 once more, with the old root out of use, so
 * that its disks can be unmounted for good. `verb` is "poweroff", "reboot", "halt" or "kexec".
 */
_Noreturn void power_finish(const char *verb);

#endif
