#include "setup/setup.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <unistd.h>

#include "base/device.h"
#include "base/io.h"
#include "base/paths.h"
#include "boot/rootfs.h"
#include "wire/reply.h"

#define DISK_WAIT_MS 15000
/* Where a volume is mounted until it has its files. */
#define STAGE STATE_DIRECTORY "/volume"
#define SWAP_PATH DISK_PATH "/swap"
#define SWAP_PAGE 4096
#define SWAP_MAGIC "SWAPSPACE2"

static void mount_at(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
	if (strncmp(source, "/dev/", 5) == 0)
		device_wait(source, DISK_WAIT_MS);
	if (!make_dirs(target, 0755) || mount(source, target, type, flags, data) < 0)
		reply_fail_errno("Cannot mount %s at \"%s\"", type, target);
}

/* A new ext4 has lost+found, which programs like databases take for files of somebody else. */
static void mount_volume(const char *disk, char *target)
{
	mount_at(disk, STAGE, "ext4", MS_NOATIME, "");
	rootfs_grow(disk, STAGE, 0);
	rmdir(STAGE "/lost+found");
	if (rootfs_is_empty(STAGE) && access(target, F_OK) == 0)
		rootfs_copy(target, STAGE);
	mount_at(STAGE, target, "", MS_BIND, "");
	umount2(STAGE, MNT_DETACH);
}

/* The file is kept over boots. Its header, in its first page: version, last page, and at the end the magic. */
static void swap_on(const char *text)
{
	uint8_t page[SWAP_PAGE] = { 0 };
	off_t size = strtoll(text, NULL, 10);
	uint32_t header[2] = { 1, (uint32_t)(size / SWAP_PAGE - 1) };
	int fd = open(SWAP_PATH, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	memcpy(page + 1024, header, sizeof header);
	memcpy(page + SWAP_PAGE - sizeof SWAP_MAGIC + 1, SWAP_MAGIC, sizeof SWAP_MAGIC - 1);
	if (fd < 0 || fallocate(fd, 0, 0, size) < 0 || !write_all(fd, page, sizeof page) || swapon(SWAP_PATH, 0) < 0)
		reply_fail_errno("Cannot enable swap");
	close(fd);
}

int setup_run(char **words)
{
	for (; words[0] && words[1]; words += 2) {
		if (strcmp(words[0], "mount") == 0) {
			mount_at(words[1], words[2], words[3], strtoul(words[4], NULL, 10), words[5]);
			words += 4;
		} else if (strcmp(words[0], "volume") == 0) {
			mount_volume(words[1], words[2]);
			words++;
		} else if (strcmp(words[0], "grow") == 0) {
			if (!rootfs_grow(words[1], words[2], strtoul(words[3], NULL, 10)))
				reply_fail_errno("Cannot grow \"%s\"", words[2]);
			words += 2;
		} else if (strcmp(words[0], "write") == 0) {
			if (!write_knob(words[1], words[2]))
				reply_fail_errno("Cannot set \"%s\"", words[1]);
			words++;
		} else if (strcmp(words[0], "limits") == 0) {
			replace_file(LIMITS_PATH, words[1], strlen(words[1]), 0600);
		} else {
			swap_on(words[1]);
		}
	}
	return 0;
}
