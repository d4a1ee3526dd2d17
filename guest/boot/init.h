/* PID 1 in the initrd: from the kernel to a machine that is served. */
#ifndef BANGER_INIT_H
#define BANGER_INIT_H

_Noreturn void init_run(void);

/* PID 1 after a first boot that failed: reaps, and leaves the rest to the agent. */
_Noreturn void init_idle(void);

#endif
