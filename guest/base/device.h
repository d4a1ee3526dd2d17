/* Devices that come when their module or their bus is ready. */
#ifndef BANGER_DEVICE_H
#define BANGER_DEVICE_H

#include <stdbool.h>

/* A socket that gets a message for each change of a device; -1 if that is not possible. */
int device_watch(void);

/* Takes all messages from it. */
void device_drain(int fd);

/* Waits until a path exists; false if it does not come in time. */
bool device_wait(const char *path, int timeout_ms);

#endif
