/*
 * A root of its own: a small file system in memory, with copies of mounts of the host in it. It is in no other
 * namespace, and goes with the process.
 */
#include "jail.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Not from <sys/mount.h>, which declares what <linux/mount.h> does. */
int mount(const char *, const char *, const char *, unsigned long, const void *);
int umount2(const char *, int);

#define PRIVATE_ALL ((1 << 18) | (1 << 14))
#define NO_SUID 2
#define NO_DEVICES 4
#define NO_PROGRAMS 8
#define BIND_ALL ((1 << 12) | (1 << 14))
#define DETACH 2
#define RECURSIVE 0x8000
#define EMPTY_PATH 0x1000

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		die("cannot write", path);
	close(fd);
}

void enter_namespaces(const struct plan *plan)
{
	int others = plan->no_network ? CLONE_NEWNET | CLONE_NEWIPC : 0;
	if (unshare(CLONE_NEWNS | others) == 0)
		return;
	uid_t uid = geteuid();
	gid_t gid = getegid();
	if (errno != EPERM || unshare(CLONE_NEWUSER | CLONE_NEWNS | others) != 0)
		die("cannot create namespaces", NULL);
	char line[64];
	write_file("/proc/self/setgroups", "deny");
	snprintf(line, sizeof line, "%u %u 1", uid, uid);
	write_file("/proc/self/uid_map", line);
	snprintf(line, sizeof line, "%u %u 1", gid, gid);
	write_file("/proc/self/gid_map", line);
}

static void take(struct item *item)
{
	struct stat status;
	if (lstat(item->path, &status) != 0)
		die("cannot find", item->path);
	if (S_ISLNK(status.st_mode) && item->kind == SYSTEM)
		return;
	unsigned int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | RECURSIVE;
	item->tree = (int)syscall(SYS_open_tree, AT_FDCWD, item->path, flags);
	if (item->tree < 0)
		die("cannot open", item->path);
	struct mount_attr attributes = { .attr_set = MOUNT_ATTR_NOSUID };
	if (item->kind == SYSTEM || item->kind == READ_ONLY)
		attributes.attr_set |= MOUNT_ATTR_RDONLY;
	if (item->kind != DEVICE)
		attributes.attr_set |= MOUNT_ATTR_NODEV;
	if (syscall(SYS_mount_setattr, item->tree, "", EMPTY_PATH | RECURSIVE, &attributes, sizeof attributes) != 0)
		die("cannot restrict", item->path);
}

/* All folders above `path`, whose first `from` bytes are there. */
static void make_parents(char *path, size_t from)
{
	for (char *slash = strchr(path + from + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0755) != 0 && errno != EEXIST)
			die("cannot create", path);
		*slash = '/';
	}
}

static void place(const struct plan *plan, const struct item *item)
{
	char target[PATH_MAX], link[PATH_MAX];
	struct stat status;
	if ((size_t)snprintf(target, sizeof target, "%s%s", plan->base, item->path) >= sizeof target) {
		errno = ENAMETOOLONG;
		die("cannot use", item->path);
	}
	make_parents(target, strlen(plan->base));
	if (item->tree < 0) {
		ssize_t length = readlink(item->path, link, sizeof link - 1);
		if (length < 0)
			die("cannot read", item->path);
		link[length] = '\0';
		if (symlink(link, target) != 0 && errno != EEXIST)
			die("cannot create", target);
		return;
	}
	if (fstat(item->tree, &status) != 0)
		die("cannot read", item->path);
	// A device of its own is for its user alone, whoever has that of the host.
	if (item->kind == DEVICE && mknod(target, S_IFCHR | 0666, status.st_rdev) == 0) {
		if (chmod(target, 0666) != 0)
			die("cannot create", target);
		return;
	}
	bool made = S_ISDIR(status.st_mode) ? mkdir(target, 0755) == 0 : mknod(target, S_IFREG | 0644, 0) == 0;
	if (!made && errno != EEXIST)
		die("cannot create", target);
	if (syscall(SYS_move_mount, item->tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) != 0)
		die("cannot mount", item->path);
	close(item->tree);
}

static void mount_proc(const struct plan *plan)
{
	char target[PATH_MAX];
	snprintf(target, sizeof target, "%s/proc", plan->base);
	if (mkdir(target, 0755) != 0)
		die("cannot create", target);
	unsigned long flags = NO_SUID | NO_DEVICES | NO_PROGRAMS;
	// Processes of other users are not seen. In a user namespace the process's own is all that can be had.
	if (mount("proc", target, "proc", flags, "hidepid=2,subset=pid") == 0)
		return;
	if (mount("/proc", target, NULL, BIND_ALL, NULL) != 0)
		die("cannot mount", target);
}

void build_root(struct plan *plan)
{
	mode_t mask = umask(022);
	if (mount(NULL, "/", NULL, PRIVATE_ALL, NULL) != 0)
		die("cannot make mounts private", NULL);
	for (size_t i = 0; i < plan->count; i++)
		take(&plan->items[i]);
	// A folder of the host that is below this one is not: all of it was opened before.
	if (mount("banger-jail", plan->base, "tmpfs", NO_SUID, "mode=0755,size=64m") != 0)
		die("cannot mount", plan->base);
	if (plan->proc)
		mount_proc(plan);
	for (size_t i = 0; i < plan->count; i++)
		place(plan, &plan->items[i]);
	if (plan->scratch != NULL) {
		char target[PATH_MAX];
		snprintf(target, sizeof target, "%s%s", plan->base, plan->scratch);
		if (mkdir(target, 0700) != 0 || (plan->uid != 0 && chown(target, plan->uid, plan->gid) != 0))
			die("cannot create", target);
	}
	if (chdir(plan->base) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 || umount2(".", DETACH) != 0 ||
	    chdir("/") != 0)
		die("cannot change the root", NULL);
	umask(mask);
}
