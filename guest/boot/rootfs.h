/* From the initrd's file system to the machine's own. Whatever fails here ends the boot. */
#ifndef BANGER_ROOTFS_H
#define BANGER_ROOTFS_H

#include <stdbool.h>

/* /proc, /sys and /dev, in the initrd. */
void rootfs_mount_kernel(void);

/*
 * Mounts the disks as the boot record says. With systemd /run is a file system of its own, which begins
 * with what the image has there; without, the image's is as good as any other folder, and STATE_FOLDER
 * alone is in memory.
 */
void rootfs_mount(bool is_systemd);

/* The letter of the one disk that is written to: 'b' for /dev/vdb. */
char rootfs_writable_disk(void);

/* Makes the mounted root the only one, and frees the memory of the initrd. */
void rootfs_switch(bool is_systemd);

#endif
