#include "programs/freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/paths.h"
#include "base/procfs.h"
#include "run/power.h"
#include "wire/reply.h"

static void wait_for_end(void)
{
	char bytes[64];
	ssize_t count;
	do {
		count = read(STDIN_FILENO, bytes, sizeof bytes);
	} while (count > 0 || (count < 0 && errno == EINTR));
}

int freeze_disk(char **arguments)
{
	(void)arguments;
	/* Terminating all processes would stop systemd's services. */
	if (procfs_init_is_systemd())
		reply_fail("invalid_argument", "Cannot freeze the disk: the VM runs systemd");
	int fd = open(DISK_PATH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		reply_fail_errno("Cannot open the writable layer");
	power_end_processes();
	sync();
	if (ioctl(fd, FIFREEZE, 0) < 0)
		reply_fail_errno("Cannot freeze the writable layer");
	reply_put("\n", 1);
	wait_for_end();
	if (ioctl(fd, FITHAW, 0) < 0)
		reply_fail_errno("Cannot thaw the writable layer");
	return 0;
}
