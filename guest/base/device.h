/* Waits for devices, which appear once their module is loaded or their bus is scanned. */
#ifndef BANGER_DEVICE_H
#define BANGER_DEVICE_H

#include <stdbool.h>

/* Opens a netlink socket for device events; -1 on failure. */
int device_watch(void);

/* Discards all pending events. */
void device_drain(int fd);

/* Waits until a path exists; false on timeout. */
bool device_wait(const char *path, int timeout_ms);

#endif
