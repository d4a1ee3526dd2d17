/* Where the host is reached: a named virtio-serial port, vsock, or a unix socket. */
#ifndef BANGER_TRANSPORT_H
#define BANGER_TRANSPORT_H

#include <stdbool.h>
#include <sys/socket.h>

/* Opens the virtio-serial port of this name, without ever blocking; -1 if it is not there (yet). */
int transport_open(const char *wanted);

/* A socket that listens on the agent's vsock port; -1 where there is no vsock. */
int transport_listen_vsock(void);

/* False for a vsock peer that is not the host, such as a program of the machine that goes by its own address. */
bool transport_is_host(const struct sockaddr_storage *peer);

/* The next connection of the host's; -1 if there is none now. Others are closed. */
int transport_accept(int listener);

/* A socket that listens at a path. */
int transport_listen_unix(const char *path);

#endif
