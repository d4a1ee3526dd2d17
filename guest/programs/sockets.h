/* The program `ports`: lists listening sockets. */
#ifndef BANGER_SOCKETS_H
#define BANGER_SOCKETS_H

/* Prints an entry field for each listening TCP socket and each bound, unconnected UDP socket. */
int sockets_list(char **arguments);

#endif
