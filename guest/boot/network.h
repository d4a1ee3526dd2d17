/* Loopback and the one network interface. */
#ifndef BANGER_NETWORK_H
#define BANGER_NETWORK_H

/* Brings up lo, and the interface of the boot record if it has one. Says what fails, and goes on. */
void network_configure(void);

#endif
