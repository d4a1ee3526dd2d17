/* A filter against TCP segments that older versions of passt send and that no router takes. */
#ifndef BANGER_XDPFILTER_H
#define BANGER_XDPFILTER_H

#include <stdbool.h>

/*
 * The descriptor of a program for XDP that drops what has none of the flags FIN, SYN, RST and ACK: to the end of a
 * connection it means nothing, but connection tracking takes it for invalid, so that a router would answer it with a
 * reset. -1 where the kernel has no BPF.
 */
int xdp_filter_load(void);

#endif
