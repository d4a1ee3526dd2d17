/*
 * banger-share: gives a machine a directory of its host. The requests for it go through a unix socket, to which the
 * host connects; it may do so again, and then goes on.
 *
 *     banger-share SOCKET PATH rw|ro      returns when the directory is mounted; a process stays behind
 */
#include "share.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, errno == ENODEV || errno == ENXIO || errno == ENOENT ?
						  "the kernel does not have FUSE" : strerror(errno));
	exit(1);
}

static bool address_of(const char *path, struct sockaddr_un *address)
{
	memset(address, 0, sizeof *address);
	address->sun_family = AF_UNIX;
	return snprintf(address->sun_path, sizeof address->sun_path, "%s", path) < (int)sizeof address->sun_path;
}

static int listen_at(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlink(address->sun_path);
	umask(0177);
	if (fd < 0 || bind(fd, (const struct sockaddr *)address, sizeof *address) < 0 || listen(fd, 2) < 0)
		die("Cannot make the socket of a shared directory");
	umask(022);
	return fd;
}

/* Of a process that nobody waits for, and that is to be there as long as its file system. */
static void settle(void)
{
	int null = open("/dev/null", O_RDWR);
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	setsid();
	if (chdir("/") < 0)
		return;
	int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (score >= 0 && write(score, "-1000", 5) < 0)
		errno = 0;
	close(score);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
}

int main(int count, char **words)
{
	struct sockaddr_un address;
	if (count != 4 || words[2][0] != '/' || !address_of(words[1], &address)) {
		fputs("Usage: banger-share SOCKET PATH rw|ro\n", stderr);
		return 2;
	}
	if (!make_mount_point(words[2])) {
		fprintf(stderr, "Cannot create the directory \"%s\": %s\n", words[2], strerror(errno));
		return 1;
	}
	int fuse = fuse_open();
	if (fuse < 0)
		die("Cannot open /dev/fuse");
	int listener = listen_at(&address);
	if (!fuse_mount(fuse, words[2], strcmp(words[3], "ro") == 0))
		die("Cannot mount a shared directory");
	/* Whoever waits for this process may end its group after it. */
	int settled[2];
	char byte = 0;
	if (pipe2(settled, O_CLOEXEC) < 0)
		die("Cannot start a process for a shared directory");
	pid_t child = fork();
	if (child < 0)
		die("Cannot start a process for a shared directory");
	if (child > 0)
		return read(settled[0], &byte, 1) == 1 ? 0 : 1;
	settle();
	if (write(settled[1], &byte, 1) != 1)
		return 1;
	close(settled[0]);
	close(settled[1]);
	relay(fuse, listener);
	unlink(address.sun_path);
	return 0;
}
