#include "wire/watch.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "base/io.h"

#define BATCH 32

static int epoll_fd = -1;

void watch_init(void)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		die("Cannot create an epoll instance");
}

bool watch_add(int fd, uint32_t events, struct watch watch)
{
	struct epoll_event event = {
		.events = events | EPOLLET,
		.data.u64 = (uint64_t)watch.role << 40 | (uint64_t)watch.slot << 32 | watch.stream,
	};
	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

int watch_wait(struct watch_event *events, int max, int timeout_ms)
{
	struct epoll_event raw[BATCH];
	int count = epoll_wait(epoll_fd, raw, max < BATCH ? max : BATCH, timeout_ms);
	for (int i = 0; i < count; i++) {
		uint64_t data = raw[i].data.u64;
		events[i] = (struct watch_event){
			.watch = {
				.role = (enum watch_role)(data >> 40),
				.slot = (uint8_t)(data >> 32),
				.stream = (uint32_t)data,
			},
			.events = raw[i].events,
		};
	}
	return count > 0 ? count : 0;
}
