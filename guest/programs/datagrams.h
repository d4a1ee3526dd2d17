/*
 * The program `datagrams`: relays a UDP port. Stdin goes to the port, its answers go to stdout, each datagram
 * after its length:
 *
 *     u16 length, little-endian; then the datagram
 */
#ifndef BANGER_DATAGRAMS_H
#define BANGER_DATAGRAMS_H

/* ADDRESS PORT. Exits at the end of stdin. */
int datagrams_carry(char **arguments);

#endif
