/*
 * A listening socket in the machine, as a program: every connection to it becomes a stream of records on
 * stdin and stdout, which is how ssh -R and agent forwarding come out of a machine.
 *
 *     u8 type, u8 0, u16 length, u32 connection, payload of that length; little-endian
 *
 *     program → host   LISTEN_READY    connection 0; fields: port or path
 *     program → host   LISTEN_OPEN     a connection; fields: host and port of the peer, none for a unix socket
 *     both ways        LISTEN_DATA     takes credit: at first LISTEN_WINDOW_BYTES for each direction
 *     both ways        LISTEN_EOF      no more data from this side
 *     both ways        LISTEN_CREDIT   u32: so many bytes more may be sent
 *     both ways        LISTEN_CLOSE    the connection is over; each side sends it once
 */
#ifndef BANGER_LISTEN_H
#define BANGER_LISTEN_H

/* KIND ADDRESS PORT: "tcp" with an address and a port, 0 for a free one; "unix" with a path; "agent": a new path. */
int listen_serve(char **arguments);

#endif
