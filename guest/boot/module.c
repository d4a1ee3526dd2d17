#include "boot/module.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"

/* From linux/module.h; the kernel needs MODULE_DECOMPRESS. */
#define COMPRESSED_FILE 4

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

void module_load(const uint8_t *name, size_t length)
{
	char path[256];
	format_path(path, sizeof path, "%s%.*s", length > 0 && name[0] == '/' ? "" : "/", (int)length, (const char *)name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (syscall(SYS_finit_module, fd, "", flags_of(path)) < 0 && errno != EEXIST))
		say("Cannot load module \"%s\": %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}
