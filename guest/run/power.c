#include "run/power.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/paths.h"
#include "base/procfs.h"
#include "wire/goodbye.h"

#define TERM_GRACE_MS 3000
#define STEP_MS 20
#define MAX_MOUNTS 256
/* Index in a line of /proc/self/mountinfo. */
#define MOUNT_POINT_WORD 4
/* glibc's SIGRTMIN, which systemd's signals are relative to; musl's is 35. */
#define SIGRTMIN_SYSTEMD 34

static bool enabled;
static bool requested;
static bool wants_reboot;

void power_enable(void)
{
	enabled = true;
}

bool power_request(bool reboot)
{
	if (!enabled)
		return false;
	requested = true;
	wants_reboot = reboot;
	return true;
}

bool power_is_requested(void)
{
	return requested;
}

static void pause_step(void)
{
	struct timespec step = { .tv_nsec = STEP_MS * 1000000L };
	nanosleep(&step, NULL);
}

/* Kernel threads and zombies have no executable. */
static bool is_running(const char *pid)
{
	char path[64], target[2];
	format_path(path, sizeof path, "/proc/%.20s/exe", pid);
	return readlink(path, target, sizeof target) > 0;
}

/* True if only PID 1 and this process are left. */
static bool is_alone(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0) {
	}
	DIR *directory = opendir("/proc");
	struct dirent *entry;
	bool alone = true;
	while (directory && alone && (entry = readdir(directory))) {
		int pid = atoi(entry->d_name);
		alone = pid <= 1 || pid == getpid() || !is_running(entry->d_name);
	}
	if (directory)
		closedir(directory);
	return alone;
}

void power_end_processes(void)
{
	kill(-1, SIGTERM);
	kill(-1, SIGCONT);
	for (int waited_ms = 0; waited_ms < TERM_GRACE_MS && !is_alone(); waited_ms += STEP_MS)
		pause_step();
	kill(-1, SIGKILL);
	for (int waited_ms = 0; waited_ms < TERM_GRACE_MS && !is_alone(); waited_ms += STEP_MS)
		pause_step();
}

static char mounts[MAX_MOUNTS][256];

static int read_mounts(void)
{
	char line[4096], *words[MOUNT_POINT_WORD + 1];
	int count = 0;
	FILE *file = fopen("/proc/self/mountinfo", "re");
	while (file && count < MAX_MOUNTS && fgets(line, sizeof line, file)) {
		if (procfs_split(line, " \n", words, MOUNT_POINT_WORD + 1) > MOUNT_POINT_WORD)
			snprintf(mounts[count++], sizeof mounts[0], "%s", words[MOUNT_POINT_WORD]);
	}
	if (file)
		fclose(file);
	return count;
}

static bool is_kept(const char *path)
{
	return path[0] == 0 || strcmp(path, "/") == 0 || strcmp(path, DISK_PATH) == 0;
}

/*
 * File systems that cannot be unmounted are remounted read-only, which leaves them clean: the root, and then the
 * disk below an overlay root. The list of mounts has no usable order, so it is repeated until nothing more can be
 * unmounted.
 */
static void unmount_all(void)
{
	int count = read_mounts();
	for (bool moved = true; moved;) {
		moved = false;
		for (int i = count - 1; i >= 0; i--) {
			if (is_kept(mounts[i]) || umount2(mounts[i], UMOUNT_NOFOLLOW) < 0)
				continue;
			mounts[i][0] = 0;
			moved = true;
		}
	}
	for (int i = count - 1; i >= 0; i--) {
		if (!is_kept(mounts[i]))
			mount(NULL, mounts[i], NULL, MS_REMOUNT | MS_RDONLY, NULL);
	}
	mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
	mount(NULL, DISK_PATH, NULL, MS_REMOUNT | MS_RDONLY, NULL);
}

/* Some VMMs have no power-off and exit on reset. */
static bool ends_by_reset(void)
{
	char line[4096];
	if (read_file("/proc/cmdline", line, sizeof line) <= 0)
		return false;
	char *rest = line;
	for (char *word = strsep(&rest, " \n"); word; word = strsep(&rest, " \n")) {
		if (strcmp(word, "banger.poweroff=reset") == 0)
			return true;
	}
	return false;
}

static _Noreturn void power_off(bool reboot_after)
{
	/* Read first: /proc is unmounted below. */
	bool wants_reset = ends_by_reset();
	goodbye_prepare();
	sync();
	if (chdir("/") == 0)
		unmount_all();
	sync();
	goodbye_send(reboot_after ? "reboot" : "poweroff");
	reboot(reboot_after || wants_reset ? RB_AUTOBOOT : RB_POWER_OFF);
	die("Cannot power off");
}

void power_perform(void)
{
	requested = false;
	if (procfs_init_is_systemd() && kill(1, SIGRTMIN_SYSTEMD + (wants_reboot ? 5 : 4)) == 0)
		return;
	power_end_processes();
	power_off(wants_reboot);
}

_Noreturn void power_finish(const char *verb)
{
	power_off(strcmp(verb, "reboot") == 0);
}
