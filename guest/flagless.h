/* A filter against TCP segments that older versions of passt send and that no router takes. */
#ifndef BANGER_FLAGLESS_H
#define BANGER_FLAGLESS_H

#include <stdbool.h>

/*
 * The descriptor of a program for XDP that drops what has none of the flags FIN, SYN, RST and ACK: to the end of a
 * connection it means nothing, but connection tracking takes it for invalid, so that a router would answer it with a
 * reset. -1 where the kernel has no BPF.
 */
int flagless_filter(void);

#endif
