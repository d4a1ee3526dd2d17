/* Source: include/uapi/linux/fuse.h and Documentation/filesystems/fuse of Linux. */
#include "share.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define DEVICE "/dev/fuse"
#define DEVICE_MAJOR 10
#define DEVICE_MINOR 229

/* The kernel loads the module when a node with its number is opened, and makes none itself before that. */
int fuse_open(void)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (fd >= 0 || errno != ENOENT)
		return fd;
	if (mknod(DEVICE, S_IFCHR | 0666, makedev(DEVICE_MAJOR, DEVICE_MINOR)) < 0 && errno != EEXIST)
		return -1;
	/* Whatever the umask. */
	chmod(DEVICE, 0666);
	return open(DEVICE, O_RDWR | O_CLOEXEC);
}

static void make_directory(const char *path, int *failed)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST && *failed == 0)
		*failed = errno;
}

bool make_mount_point(const char *path)
{
	char part[4096];
	struct stat status;
	int failed = 0;
	/* What a process before this one has left. */
	if (stat(path, &status) < 0 && errno == ENOTCONN)
		umount2(path, MNT_DETACH);
	snprintf(part, sizeof part, "%s", path);
	for (char *at = part + 1; *at != '\0'; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		make_directory(part, &failed);
		*at = '/';
	}
	make_directory(part, &failed);
	if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
		return true;
	errno = failed ? failed : ENOTDIR;
	return false;
}

bool fuse_mount(int fuse, const char *path, bool read_only)
{
	char options[128];
	unsigned long flags = MS_NODEV | MS_NOSUID | (read_only ? MS_RDONLY : 0);
	snprintf(options, sizeof options,
		 "fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other", fuse);
	return mount("banger", path, "fuse.banger", flags, options) == 0;
}
