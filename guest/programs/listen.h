/*
 * The program `listen`: a listening socket in the VM whose connections are multiplexed as records over stdin and
 * stdout. It carries ssh -R and agent forwarding.
 *
 *     u8 type, u8 0, u16 length, u32 connection, payload of that length; little-endian
 *
 *     program → host   LISTEN_READY    connection 0; fields: port or path
 *     program → host   LISTEN_OPEN     a new connection; fields: host and port of the peer, none for a unix socket
 *     both ways        LISTEN_DATA     consumes credit, which starts at LISTEN_WINDOW_BYTES in each direction
 *     both ways        LISTEN_EOF      no more data from this side
 *     both ways        LISTEN_CREDIT   u32: bytes that may be sent in addition
 *     both ways        LISTEN_CLOSE    the connection is closed; each side sends it once
 */
#ifndef BANGER_LISTEN_H
#define BANGER_LISTEN_H

/* KIND ADDRESS PORT: "tcp" with an address and a port, 0 for any free one; "unix" with a path; "agent" for a new path. */
int listen_serve(char **arguments);

#endif
