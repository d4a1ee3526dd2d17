/*
 * A unix socket of the machine whose connections come out at the host, as a program: for each one that comes to
 * CLIENTS, the next connection of the host to HOST is its other end. The host keeps one waiting. Says "\n" when
 * both listen, and ends with its stdin.
 */
#ifndef BANGER_RELAY_H
#define BANGER_RELAY_H

/* CLIENTS HOST MODE UID GID: two new paths; who may connect to the first, the mode in octal. */
int relay_serve(char **arguments);

#endif
