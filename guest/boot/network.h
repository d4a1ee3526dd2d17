/* Configures the loopback device and the one network interface. */
#ifndef BANGER_NETWORK_H
#define BANGER_NETWORK_H

/* Brings up lo and the interface of the boot record, if any. Failures are printed and do not stop the boot. */
void network_configure(void);

/* The same for an interface that still has the hardware address of a template, and is down. */
void network_take_over(const char *old_mac);

#endif
