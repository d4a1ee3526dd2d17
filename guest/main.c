/* banger-vsock-agent: PID 1 of the initrd, then the guest agent. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "boot/identity.h"
#include "boot/init.h"
#include "boot/modprobe.h"
#include "boot/notify.h"
#include "boot/settle.h"
#include "setup/setup.h"
#include "boot/systemd.h"
#include "programs/program.h"
#include "run/power.h"
#include "run/request.h"
#include "run/serve.h"

static const char usage[] = "usage: banger-vsock-agent --version | serve [--unix PATH] | join | notify ... | settle | idle | PROGRAM ...\n";

/* Ensures that descriptors 0 to 2 are open, so that no other file gets them. */
static void open_standard_fds(void)
{
	int fd;
	while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= 2) {
	}
	if (fd > 2)
		close(fd);
}

int main(int count, char **arguments)
{
	const char *command = count > 1 ? arguments[1] : "";
	if (getpid() == 1 && access("/banger/boot", F_OK) == 0)
		init_run();
	open_standard_fds();
	request_on_identity(identity_take);
	if (getpid() == 1 && strcmp(arguments[0], "/shutdown") == 0)
		power_finish(command);
	/* As the kernel calls it: see modules_mount. */
	if (strcmp(command, "-q") == 0 && count == 4)
		return modprobe_run(arguments[3]);
	if (strcmp(command, "--version") == 0) {
		puts(BANGER_VERSION);
		return 0;
	}
	if (strcmp(command, "serve") == 0 && count == 2)
		serve(NULL);
	if (strcmp(command, "serve") == 0 && count == 4 && strcmp(arguments[2], "--unix") == 0)
		serve(arguments[3]);
	if (strcmp(command, "join") == 0 && count == 2)
		return systemd_join();
	if (strcmp(command, "notify") == 0 && count > 2)
		return notify_run(count - 2, arguments + 2);
	if (strcmp(command, "settle") == 0 && count == 2)
		return settle_run();
	if (strcmp(command, "setup") == 0 && count > 2)
		return setup_run(arguments + 2);
	if (strcmp(command, "idle") == 0 && count == 2)
		init_idle();
	int status = program_run(count - 1, arguments + 1);
	if (status >= 0)
		return status;
	fputs(usage, stderr);
	return 2;
}
