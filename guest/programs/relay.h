/*
 * The program `relay`: a unix socket whose connections are handled by the host. Each client of CLIENTS is joined with
 * the next connection that the host makes to HOST; the host always keeps one waiting. Prints "\n" once both sockets
 * listen, and exits at the end of stdin.
 */
#ifndef BANGER_RELAY_H
#define BANGER_RELAY_H

/* CLIENTS HOST MODE UID GID: paths of the two new sockets; mode (octal) and owner of the first. */
int relay_serve(char **arguments);

#endif
