/* Configures network managers that the image brings: systemd-networkd, NetworkManager, dhcpcd. */
#ifndef BANGER_MANAGERS_H
#define BANGER_MANAGERS_H

/*
 * Configures the VM's address in systemd-networkd, NetworkManager and dhcpcd, before any of them starts: they would
 * otherwise remove it from the interface and request one by DHCP, without an answer.
 */
void managers_configure(const char *interface);

#endif
