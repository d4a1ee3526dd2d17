#include "boot/rootfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/device.h"
#include "base/io.h"
#include "base/paths.h"
#include "files/tarin.h"
#include "files/tarout.h"
#include "wire/bootrecord.h"

#define FIRST_DISK "/dev/vda"
#define DISK_WAIT_MS 15000
/* Disks between the image and the writable one. */
#define MAX_DEPTH 64

/* Not in the kernel's exported headers. */
#define GROW_WAIT_MS 5000
#define GROW_STEP_US 2000

#ifndef EXT4_IOC_RESIZE_FS
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)
#endif

static void mount_or_die(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
	make_dirs(target, 0755);
	if (mount(source, target, type, flags, data) < 0)
		die("Cannot mount %s \"%s\" at \"%s\"", type, source, target);
}

/* For mounts that some kernels or images lack and not every VM needs. */
static void try_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
	make_dirs(target, 0755);
	if (mount(source, target, type, flags, data) < 0)
		say("Cannot mount %s at \"%s\": %s", type, target, strerror(errno));
}

void rootfs_mount_kernel(void)
{
	mount_or_die("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_or_die("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_or_die("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");
}

static void mount_state(bool is_systemd)
{
	if (is_systemd)
		mount_or_die("tmpfs", RUN_DIRECTORY, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
	else
		mount_or_die("tmpfs", STATE_DIRECTORY, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700");
	make_dirs(STATE_DIRECTORY, 0700);
	chmod(STATE_DIRECTORY, 0700);
}

static void need_disk(const char *path)
{
	errno = 0;
	if (!device_wait(path, DISK_WAIT_MS))
		die("Disk %s not found: is its driver among the modules?", path);
}

/* The size of a disk, once it has the one that is wanted: the host enlarges it while the kernel runs. */
static bool disk_size(int fd, uint64_t wanted, uint64_t *size)
{
	uint64_t until = uptime_ms() + GROW_WAIT_MS;
	while (ioctl(fd, BLKGETSIZE64, size) == 0) {
		if (*size >= wanted || uptime_ms() > until)
			return true;
		usleep(GROW_STEP_US);
	}
	return false;
}

bool rootfs_grow(const char *disk, const char *place, uint64_t wanted)
{
	struct statfs info;
	uint64_t size = 0;
	bool done = true;
	int disk_fd = open(disk, O_RDONLY | O_CLOEXEC);
	int place_fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (disk_fd >= 0 && place_fd >= 0 && disk_size(disk_fd, wanted, &size) && fstatfs(place_fd, &info) == 0) {
		uint64_t blocks = size / (uint64_t)info.f_bsize;
		/* A no-op if the file system already fills its disk. */
		done = ioctl(place_fd, EXT4_IOC_RESIZE_FS, &blocks) == 0;
		if (!done)
			say("Cannot grow the file system of %s: %s", disk, strerror(errno));
	}
	if (disk_fd >= 0)
		close(disk_fd);
	if (place_fd >= 0)
		close(place_fd);
	return done;
}

bool rootfs_is_empty(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	bool empty = true;
	while (directory && empty && (entry = readdir(directory)))
		empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
	if (directory)
		closedir(directory);
	return empty;
}

/*
 * Container engines mount overlays here, which cannot be on top of an overlay. A directory that is not empty in the
 * image is left alone. Called in the VM's root, where no symlink leads out.
 */
static void mount_engine_directories(void)
{
	static const char *const names[] = { "docker", "containerd", "containers" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char target[64], source[64];
		format_path(target, sizeof target, "/var/lib/%s", names[i]);
		format_path(source, sizeof source, DISK_PATH "/volumes/%s", names[i]);
		make_dirs(source, 0711);
		if (!make_dirs(target, 0711) || !rootfs_is_empty(target))
			continue;
		if (mount(source, target, NULL, MS_BIND, NULL) < 0)
			say("Cannot mount \"%s\": %s", target, strerror(errno));
	}
}

static unsigned lower_count(void)
{
	uint64_t count = boot_record_number(TAG_BOOT_LOWERS, 0);
	return count < MAX_LOWERS ? (unsigned)count : MAX_LOWERS;
}

static bool is_overlay(void)
{
	char kind[16] = "plain";
	boot_record_text(TAG_BOOT_ROOTFS, kind, sizeof kind);
	return strcmp(kind, "overlay") == 0;
}

char rootfs_writable_disk(void)
{
	return (char)('a' + (is_overlay() ? 1 + lower_count() : 0));
}

/* Overlay options list the uppermost layer first; the disks are in the opposite order. */
static void mount_overlay(void)
{
	char layers[16 * (MAX_LOWERS + 1)] = "", disk[] = FIRST_DISK, place[16], options[512];
	char *letter = &disk[sizeof FIRST_DISK - 2];
	for (*letter = 'a'; *letter < rootfs_writable_disk(); (*letter)++) {
		char above[sizeof layers];
		need_disk(disk);
		format_path(place, sizeof place, "/lower-%c", *letter);
		mount_or_die(disk, place, "ext4", MS_RDONLY, NULL);
		memcpy(above, layers, sizeof above);
		format_path(layers, sizeof layers, "%s%s%s", place, above[0] ? ":" : "", above);
	}
	need_disk(disk);
	mount_or_die(disk, DISK_PATH, "ext4", MS_NOATIME, NULL);
	rootfs_grow(disk, DISK_PATH, 0);
	make_dirs(DISK_PATH "/upper", 0755);
	make_dirs(DISK_PATH "/work", 0755);
	format_path(options, sizeof options, "lowerdir=%s,upperdir=" DISK_PATH "/upper,workdir=" DISK_PATH "/work", layers);
	mount_or_die("overlay", NEW_ROOT, "overlay", 0, options);
}

void rootfs_grow_own(uint64_t wanted)
{
	char disk[] = FIRST_DISK;
	disk[sizeof FIRST_DISK - 2] = rootfs_writable_disk();
	rootfs_grow(disk, is_overlay() ? DISK_PATH : "/", wanted);
}

static void mount_plain(void)
{
	need_disk(FIRST_DISK);
	mount_or_die(FIRST_DISK, NEW_ROOT, "ext4", MS_NOATIME, NULL);
	rootfs_grow(FIRST_DISK, NEW_ROOT, 0);
}

static void remove_tree(int directory_fd, dev_t device, int depth)
{
	DIR *directory = fdopendir(directory_fd);
	struct dirent *entry;
	struct stat info;
	if (!directory) {
		close(directory_fd);
		return;
	}
	while ((entry = readdir(directory))) {
		const char *name = entry->d_name;
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		if (fstatat(dirfd(directory), name, &info, AT_SYMLINK_NOFOLLOW) < 0 || info.st_dev != device)
			continue;
		if (S_ISDIR(info.st_mode) && depth < MAX_DEPTH) {
			int child = openat(dirfd(directory), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (child >= 0)
				remove_tree(child, device, depth + 1);
		}
		unlinkat(dirfd(directory), name, S_ISDIR(info.st_mode) ? AT_REMOVEDIR : 0);
	}
	closedir(directory);
}

/* Whatever else the image has at this path is replaced with a directory. */
static void make_place(const char *target)
{
	struct stat info;
	if (lstat(target, &info) == 0 && !S_ISDIR(info.st_mode))
		unlink(target);
	mkdir(target, 0755);
}

bool rootfs_copy(char *from, char *to)
{
	char *source[] = { from, ".", NULL }, *target[] = { to, "", NULL };
	int pair[2], status;
	if (pipe(pair) < 0)
		return false;
	pid_t writer = fork();
	if (writer == 0) {
		dup2(pair[1], STDOUT_FILENO);
		close(pair[0]);
		_exit(tar_out(source));
	}
	close(pair[1]);
	pid_t reader = fork();
	if (reader == 0) {
		dup2(pair[0], STDIN_FILENO);
		dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
		_exit(tar_in(target));
	}
	close(pair[0]);
	bool done = waitpid(reader, &status, 0) == reader && status == 0;
	waitpid(writer, &status, 0);
	return done;
}

/* Running out of memory does not stop the boot. */
static void fill_run(void)
{
	int old = open(NEW_ROOT STATE_DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat info;
	/* Only root may enter, whatever the image has there. */
	if (old >= 0 && fstat(old, &info) == 0)
		remove_tree(old, info.st_dev, 0);
	unlink(NEW_ROOT STATE_DIRECTORY);
	rmdir(NEW_ROOT STATE_DIRECTORY);
	if (!rootfs_is_empty(NEW_ROOT RUN_DIRECTORY) && !rootfs_copy(NEW_ROOT RUN_DIRECTORY, RUN_DIRECTORY))
		say("Cannot copy all of the image's " RUN_DIRECTORY);
}

void rootfs_mount(bool is_systemd)
{
	mount_state(is_systemd);
	if (is_overlay())
		mount_overlay();
	else
		mount_plain();
	make_place(NEW_ROOT RUN_DIRECTORY);
	if (is_systemd)
		fill_run();
	else
		make_place(NEW_ROOT STATE_DIRECTORY);
}

static void carry_mount(const char *name)
{
	char target[64];
	format_path(target, sizeof target, NEW_ROOT "%s", name);
	make_place(target);
	if (mount(name, target, NULL, MS_MOVE, NULL) < 0)
		die("Cannot move the mount \"%s\" to the new root", name);
}

static void mount_the_rest(bool is_systemd)
{
	try_mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=0620,ptmxmode=0666");
	try_mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
	mkdir("/tmp", 0777);
	chmod("/tmp", 01777);
	if (symlink("/proc/self/fd", "/dev/fd") == 0) {
		(void)!symlink("/proc/self/fd/0", "/dev/stdin");
		(void)!symlink("/proc/self/fd/1", "/dev/stdout");
		(void)!symlink("/proc/self/fd/2", "/dev/stderr");
	}
	if (!is_systemd)
		try_mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, "nsdelegate");
	/* Mounts would hide files of an image that is being built. */
	if (access(DISK_PATH "/upper", F_OK) == 0 && !boot_record_number(TAG_BOOT_BUILD, 0))
		mount_engine_directories();
	/* As under systemd: mount propagation between containers needs a shared root. */
	if (!is_systemd)
		mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL);
}

void rootfs_switch(bool is_systemd)
{
	struct stat old_root;
	int old = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	carry_mount("/dev");
	carry_mount("/proc");
	carry_mount("/sys");
	carry_mount(is_systemd ? RUN_DIRECTORY : STATE_DIRECTORY);
	if (old < 0 || fstat(old, &old_root) < 0 || chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 ||
	    chroot(".") < 0 || chdir("/") < 0)
		die("Cannot switch root");
	remove_tree(old, old_root.st_dev, 0);
	mount_the_rest(is_systemd);
}
