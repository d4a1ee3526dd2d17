#include "base/device.h"

#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"

#define UEVENT_GROUP 1
/* Events can be lost when many arrive at once, so the path is checked periodically as well. */
#define RECHECK_MS 200

int device_watch(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = UEVENT_GROUP };
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

void device_drain(int fd)
{
	char message[4096];
	while (recv(fd, message, sizeof message, 0) > 0) {
	}
}

bool device_wait(const char *path, int timeout_ms)
{
	if (access(path, F_OK) == 0)
		return true;
	struct pollfd news = { .fd = device_watch(), .events = POLLIN };
	uint64_t until = uptime_ms() + (uint64_t)timeout_ms;
	bool found;
	while (!(found = access(path, F_OK) == 0) && uptime_ms() < until) {
		poll(&news, 1, RECHECK_MS);
		if (news.fd >= 0)
			device_drain(news.fd);
	}
	if (news.fd >= 0)
		close(news.fd);
	return found;
}
