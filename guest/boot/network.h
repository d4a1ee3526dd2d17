/* Configures the loopback device and the one network interface. */
#ifndef BANGER_NETWORK_H
#define BANGER_NETWORK_H

/* Brings up lo and the interface of the boot record, if any. Failures are printed and do not stop the boot. */
void network_configure(void);

/* What identifies the VM on its network: MAC, addresses and gateways as texts, empty where there is none. */
struct network_identity {
	char mac[32], texts[4][64];
};

/* That of the boot record; of a template its MAC alone. */
void network_identify(struct network_identity *identity);

/* Changes the interface of `old` into that of the boot record. Does nothing if they are the same. */
void network_take_over(const struct network_identity *old);

#endif
