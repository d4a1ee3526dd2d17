/* The program `processes`: lists processes, as `ps` and `top` show them. */
#ifndef BANGER_PROCESSES_H
#define BANGER_PROCESSES_H

/* Prints an entry field for each process except kernel threads, at most 4096. */
int processes_list(char **arguments);

#endif
