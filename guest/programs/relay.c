#include "programs/relay.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/address.h"
#include "base/io.h"
#include "wire/reply.h"

#define BACKLOG 16
#define CHUNK_BYTES 16384

static int listen_at(const char *path)
{
	struct sockaddr_un address;
	if (!address_of_path(path, &address))
		reply_fail("invalid_argument", "The path of a socket is too long");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, BACKLOG) < 0)
		reply_fail_errno("Cannot listen on \"%.100s\"", path);
	return fd;
}

/* Copies in both directions until both sides have sent their end. */
static void carry(int one, int other)
{
	struct pollfd ends[2] = { { .fd = one, .events = POLLIN }, { .fd = other, .events = POLLIN } };
	char bytes[CHUNK_BYTES];
	while (ends[0].fd >= 0 || ends[1].fd >= 0) {
		if (poll(ends, 2, -1) < 0 && errno != EINTR)
			return;
		for (int i = 0; i < 2; i++) {
			int to = i == 0 ? other : one;
			if (ends[i].fd < 0 || !ends[i].revents)
				continue;
			ssize_t count = read(ends[i].fd, bytes, sizeof bytes);
			if (count > 0 && write_all(to, bytes, (size_t)count))
				continue;
			shutdown(to, SHUT_WR);
			ends[i].fd = -1;
		}
	}
}

int relay_serve(char **arguments)
{
	const char *clients_path = arguments[0];
	int clients = listen_at(clients_path), hosts = listen_at(arguments[1]);
	mode_t mode = (mode_t)strtoul(arguments[2], NULL, 8);
	uid_t uid = (uid_t)strtoul(arguments[3], NULL, 10);
	gid_t gid = (gid_t)strtoul(arguments[4], NULL, 10);
	struct pollfd events[2] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = clients, .events = POLLIN } };
	if (chmod(arguments[1], 0600) < 0 || chown(clients_path, uid, gid) < 0 || chmod(clients_path, mode) < 0)
		reply_fail_errno("Cannot change the owner of the socket");
	/* The children that copy are reaped automatically. */
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	reply_put("\n", 1);
	for (;;) {
		if (poll(events, 2, -1) < 0 && errno != EINTR)
			reply_fail_errno("Cannot wait for connections");
		if (events[0].revents)
			return 0;
		int client = events[1].revents ? accept(clients, NULL, NULL) : -1;
		if (client < 0)
			continue;
		int host = accept(hosts, NULL, NULL);
		if (host >= 0 && fork() == 0) {
			carry(client, host);
			_exit(0);
		}
		close(client);
		close(host);
	}
}
