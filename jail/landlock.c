/* For hosts that give ordinary users no namespaces. Source: landlock(7). */
#include "jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Rights by the version that brought them, since older headers lack names. */
#define EXECUTE (1ull << 0)
#define WRITE_FILE (1ull << 1)
#define READ_FILE (1ull << 2)
#define READ_FOLDER (1ull << 3)
#define VERSION_1 ((1ull << 13) - 1)
#define REFER (1ull << 13)
#define TRUNCATE (1ull << 14)
#define IOCTL_DEVICE (1ull << 15)
#define OF_FILES (EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEVICE)

int landlock_version(void)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1u);
	return version < 0 ? 0 : (int)version;
}

static unsigned long long rights_of(int version)
{
	return VERSION_1 | (version >= 2 ? REFER : 0) | (version >= 3 ? TRUNCATE : 0) |
	       (version >= 5 ? IOCTL_DEVICE : 0);
}

static void allow(int rules, const char *path, unsigned long long rights)
{
	int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat status;
	if (fd < 0 || fstat(fd, &status) != 0)
		die("cannot open", path);
	if (!S_ISDIR(status.st_mode))
		rights &= OF_FILES;
	struct landlock_path_beneath_attr rule = { .allowed_access = rights, .parent_fd = fd };
	if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0u) != 0)
		die("cannot allow", path);
	close(fd);
}

void restrict_paths(const struct plan *plan)
{
	unsigned long long all = rights_of(landlock_version());
	/* Only the first version's part is known to each kernel, and read by its size. */
	struct landlock_ruleset_attr attributes;
	memset(&attributes, 0, sizeof attributes);
	attributes.handled_access_fs = all;
	int rules = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes.handled_access_fs, 0u);
	if (rules < 0)
		die("cannot use Landlock", NULL);
	for (size_t i = 0; i < plan->count; i++) {
		const struct item *item = &plan->items[i];
		unsigned long long reading = EXECUTE | READ_FILE | READ_FOLDER;
		unsigned long long device = READ_FILE | WRITE_FILE | IOCTL_DEVICE;
		allow(rules, item->path,
		      all & (item->kind <= READ_ONLY ? reading : item->kind == DEVICE ? device : all & ~EXECUTE));
	}
	if (syscall(SYS_landlock_restrict_self, rules, 0u) != 0)
		die("cannot use Landlock", NULL);
	close(rules);
}
