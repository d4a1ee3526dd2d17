/* A UDP server of a machine: "udp-echo PORT [ADDRESS]" sends every datagram back behind "heard ". */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int main(int count, char **arguments)
{
	/* Also for IPv4, unless the address says otherwise. */
	struct sockaddr_in6 own = { .sin6_family = AF_INET6 };
	static char text[65536] = "heard ";
	size_t head = strlen(text);
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);
	if (count < 2 || (count > 2 && inet_pton(AF_INET6, arguments[2], &own.sin6_addr) != 1))
		return 2;
	own.sin6_port = htons((uint16_t)atoi(arguments[1]));
	if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof own) < 0)
		return 1;
	for (;;) {
		struct sockaddr_in6 peer;
		socklen_t size = sizeof peer;
		ssize_t length = recvfrom(fd, text + head, sizeof text - head, 0, (struct sockaddr *)&peer, &size);
		if (length >= 0)
			sendto(fd, text, head + (size_t)length, 0, (struct sockaddr *)&peer, size);
	}
}
