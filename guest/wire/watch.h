/* The one epoll instance. Edge-triggered: each owner remembers which of its descriptors are ready. */
#ifndef BANGER_WATCH_H
#define BANGER_WATCH_H

#include <stdbool.h>
#include <stdint.h>

enum watch_role {
	WATCH_LINK,
	WATCH_LISTENER,
	WATCH_UEVENT,
	WATCH_SIGNAL,
	WATCH_NOTIFY,
	WATCH_STREAM_IN,
	WATCH_STREAM_OUT,
	WATCH_STREAM_ERR,
};

/* The owner of a descriptor. `stream` distinguishes a late event of a closed stream from one of its successor in the slot. */
struct watch {
	enum watch_role role;
	uint8_t slot;
	uint32_t stream;
};

struct watch_event {
	struct watch watch;
	uint32_t events;
};

void watch_init(void);
bool watch_add(int fd, uint32_t events, struct watch watch);

/* Waits for events, forever if timeout_ms is -1; returns how many there are. */
int watch_wait(struct watch_event *events, int max, int timeout_ms);

#endif
