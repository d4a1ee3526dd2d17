/* Who listens in the machine, as a program. */
#ifndef BANGER_SOCKETS_H
#define BANGER_SOCKETS_H

/* Prints an entry field for each TCP socket that listens and each UDP socket that is bound and not connected. */
int sockets_list(char **arguments);

#endif
