#pragma once

#include <stdbool.h>

/* Descriptor of a new connection to the kernel's FUSE; -1 with errno. */
int fuse_open(void);
/* Creates the directory and those above it. False with errno: there is none then. */
bool make_mount_point(const char *path);
/* Mounts it at the path. False with errno. */
bool fuse_mount(int fuse, const char *path, bool read_only);

/*
 * Passes requests of the kernel to whoever is connected to the listening socket, and answers back, until the file system
 * is unmounted. Requests that nobody answers any more fail with EIO. Returns when there is no file system any more.
 */
void relay(int fuse, int listener);
