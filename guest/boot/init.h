/* PID 1 of the initrd: from the kernel's handover to a VM with a running agent. */
#ifndef BANGER_INIT_H
#define BANGER_INIT_H

_Noreturn void init_run(void);

/* PID 1 after a failed first boot: reaps processes; the agent does the rest. */
_Noreturn void init_idle(void);

#endif
