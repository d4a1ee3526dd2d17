/* Parses socket addresses. */
#ifndef BANGER_ADDRESS_H
#define BANGER_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/* An IPv4 or IPv6 address with a port; returns its size, 0 if `host` is no address. */
socklen_t address_parse(const char *host, uint16_t port, struct sockaddr_storage *address);

/* The address of a unix socket; false if the path is too long. */
bool address_of_path(const char *path, struct sockaddr_un *address);

#endif
