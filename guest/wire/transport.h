/* Opens the transports to the host: a named virtio-serial port, vsock, or a unix socket. */
#ifndef BANGER_TRANSPORT_H
#define BANGER_TRANSPORT_H

#include <stdbool.h>
#include <sys/socket.h>

/* Opens a virtio-serial port by name, without blocking; -1 if it does not exist (yet). */
int transport_open(const char *wanted);

/* A vsock socket; -1 where no driver is loaded: merely asking would load modules that the VM has no device for. */
int transport_vsock(int flags);

/* Listens on the agent's vsock port; -1 if there is no vsock. */
int transport_listen_vsock(void);

/* False for a vsock peer other than the host, such as a program in the guest that uses the guest's own address. */
bool transport_is_host(const struct sockaddr_storage *peer);

/* Accepts the next connection from the host; -1 if there is none. Connections from others are closed. */
int transport_accept(int listener);

/* Listens on a unix socket. */
int transport_listen_unix(const char *path);

#endif
