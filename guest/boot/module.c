#include "boot/module.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/device.h"
#include "base/io.h"
#include "base/paths.h"
#include "boot/rootfs.h"
#include "wire/bootrecord.h"

/* From linux/module.h; the kernel needs MODULE_DECOMPRESS. */
#define COMPRESSED_FILE 4
#define DISK_WAIT_MS 15000
#define LOADER_KNOB "/proc/sys/kernel/modprobe"

static int flags_of(const char *path)
{
	static const char *const endings[] = { ".xz", ".zst", ".gz" };
	size_t length = strlen(path);
	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
		size_t ending = strlen(endings[i]);
		if (length > ending && strcmp(path + length - ending, endings[i]) == 0)
			return COMPRESSED_FILE;
	}
	return 0;
}

bool module_insert(const char *path, const char *options)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool done = syscall(SYS_finit_module, fd, options, flags_of(path)) == 0 || errno == EEXIST;
	int error = errno;
	close(fd);
	errno = error;
	return done;
}

void module_load(const uint8_t *name, size_t length)
{
	char path[256];
	format_path(path, sizeof path, "%s%.*s", length > 0 && name[0] == '/' ? "" : "/", (int)length, (const char *)name);
	if (!module_insert(path, ""))
		say("Cannot load module \"%s\": %s", path, strerror(errno));
}

static void own_tree(char *path, size_t size)
{
	struct utsname kernel;
	uname(&kernel);
	format_path(path, size, "/lib/modules/%s", kernel.release);
}

bool modules_tree(char *path, size_t size)
{
	char list[256];
	own_tree(path, size);
	format_path(list, sizeof list, "%s/modules.dep", path);
	if (access(list, R_OK) == 0)
		return true;
	format_path(path, size, MODULES_PATH);
	return access(MODULES_PATH "/modules.dep", R_OK) == 0;
}

/* An image's own modules of this kernel win. An image that is being built gets no mount, and no directory for it. */
static void mount_own_tree(void)
{
	char path[128];
	own_tree(path, sizeof path);
	if (boot_record_number(TAG_BOOT_BUILD, 0) || !make_dirs(path, 0755) || !rootfs_is_empty(path))
		return;
	if (mount(MODULES_PATH, path, NULL, MS_BIND, NULL) < 0)
		say("Cannot mount \"%s\": %s", path, strerror(errno));
}

/* Lines "MODULE NAME cMAJOR:MINOR". Nodes that a driver has created stay; udev sets other modes where it runs. */
static void make_nodes(const char *tree)
{
	char list[256], text[8192];
	/* An image's own tree has the list of depmod. */
	format_path(list, sizeof list, "%s/nodes", tree);
	if (read_file(list, text, sizeof text) < 0) {
		format_path(list, sizeof list, "%s/modules.devname", tree);
		if (read_file(list, text, sizeof text) < 0)
			return;
	}
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		char path[80], *name = strchr(line, ' '), *number = name ? strchr(name + 1, ' ') : NULL;
		if (!number || number > end || number - name > 64 || *line == '#')
			continue;
		*number = 0;
		format_path(path, sizeof path, "/dev/%s", name + 1);
		bool is_for_all = strcmp(name + 1, "net/tun") == 0 || strcmp(name + 1, "fuse") == 0;
		mode_t mode = (number[1] == 'b' ? S_IFBLK : S_IFCHR) | (is_for_all ? 0666 : 0600);
		unsigned long high = strtoul(number + 2, &number, 10), low = strtoul(number + 1, NULL, 10);
		char *slash = strrchr(path, '/');
		*slash = 0;
		make_dirs(path, 0755);
		*slash = '/';
		if (mknod(path, mode, makedev(high, low)) == 0)
			chmod(path, mode & 0777);
	}
}

void modules_mount(void)
{
	char disk[] = "/dev/vda", tree[128];
	if (boot_record_has(TAG_BOOT_MODULES_DISK)) {
		disk[sizeof disk - 2] = (char)(rootfs_writable_disk() + 1);
		make_dirs(MODULES_PATH, 0755);
		if (!device_wait(disk, DISK_WAIT_MS) || mount(disk, MODULES_PATH, "ext4", MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
			say("Cannot mount the kernel's modules: %s", strerror(errno));
		else
			mount_own_tree();
	}
	if (!modules_tree(tree, sizeof tree))
		return;
	make_nodes(tree);
	if (access(LOADER_KNOB, F_OK) == 0 && !write_knob(LOADER_KNOB, AGENT_PATH))
		say("Cannot set " LOADER_KNOB ": %s", strerror(errno));
}
