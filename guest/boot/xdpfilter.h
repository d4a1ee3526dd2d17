/* An XDP filter that drops TCP segments without flags, which older versions of passt send. */
#ifndef BANGER_XDPFILTER_H
#define BANGER_XDPFILTER_H

#include <stdbool.h>

/*
 * Loads the XDP program; returns its descriptor, -1 if the kernel has no BPF. It drops segments with none of the
 * flags FIN, SYN, RST and ACK. An endpoint ignores them, but connection tracking considers them invalid, and a
 * router would reset the connection.
 */
int xdp_filter_load(void);

#endif
