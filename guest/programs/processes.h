/* The processes of the machine, as `ps` and `top` would have them. */
#ifndef BANGER_PROCESSES_H
#define BANGER_PROCESSES_H

/* Prints an entry field for each process but the kernel's own threads; at most 4096. */
int processes_list(char **arguments);

#endif
