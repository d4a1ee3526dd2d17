#include "base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

socklen_t address_parse(const char *host, uint16_t port, struct sockaddr_storage *address)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	memset(address, 0, sizeof *address);
	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
		memcpy(address, &v4, sizeof v4);
		return sizeof v4;
	}
	if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
		memcpy(address, &v6, sizeof v6);
		return sizeof v6;
	}
	return 0;
}

bool address_of_path(const char *path, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof address->sun_path)
		return false;
	strcpy(address->sun_path, path);
	return true;
}
