/* Mounts the VM's root file system and switches to it from the initrd. Any failure here ends the boot. */
#ifndef BANGER_ROOTFS_H
#define BANGER_ROOTFS_H

#include <stdbool.h>
#include <stdint.h>

/* Mounts /proc, /sys and /dev in the initrd. */
void rootfs_mount_kernel(void);

/*
 * Mounts the disks that the boot record describes. With systemd, /run is a tmpfs with a copy of the image's /run;
 * without, only STATE_DIRECTORY is a tmpfs.
 */
void rootfs_mount(bool is_systemd);

/* The letter of the one writable disk: 'b' for /dev/vdb. */
char rootfs_writable_disk(void);

/* True for a directory without entries, and for one that cannot be read. */
bool rootfs_is_empty(const char *path);

/* Copies what a directory holds, with owners, modes and links, and its own. */
bool rootfs_copy(char *from, char *to);

/* Switches to the mounted root and frees the initrd's memory. */
void rootfs_switch(bool is_systemd);

/* Waits until the disk has that size, and grows its ext4, which is mounted at `place`, to all of it. */
bool rootfs_grow(const char *disk, const char *place, uint64_t wanted);

/* The same of the one writable disk. */
void rootfs_grow_own(uint64_t wanted);

#endif
