/*
 * A UDP port of the machine, as a program: what the host writes to stdin goes to the port, and what comes from
 * there goes to stdout, each datagram behind its length.
 *
 *     u16 length, little-endian; then the datagram
 */
#ifndef BANGER_DATAGRAMS_H
#define BANGER_DATAGRAMS_H

/* ADDRESS PORT. Ends with its stdin. */
int datagrams_carry(char **arguments);

#endif
