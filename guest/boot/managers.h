/* The network managers that an image may bring along. */
#ifndef BANGER_MANAGERS_H
#define BANGER_MANAGERS_H

/*
 * Tells systemd-networkd, NetworkManager and dhcpcd the address that the machine has: they would otherwise take it off
 * the interface and ask for one by DHCP, which nobody answers. Before any of them runs.
 */
void managers_tell(const char *interface);

#endif
