/* From the initrd's file system to the machine's own. Whatever fails here ends the boot. */
#ifndef BANGER_ROOTFS_H
#define BANGER_ROOTFS_H

/* /proc, /sys, /dev and /run, in the initrd. */
void rootfs_mount_kernel(void);

/* Mounts the disks as the boot record says, and the kernel's file systems in them. */
void rootfs_mount(void);

/* The letter of the one disk that is written to: 'b' for /dev/vdb. */
char rootfs_writable_disk(void);

/* Makes the mounted root the only one, and frees the memory of the initrd. */
void rootfs_switch(void);

#endif
