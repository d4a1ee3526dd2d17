#include "boot/init.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/paths.h"
#include "boot/identity.h"
#include "boot/module.h"
#include "boot/network.h"
#include "boot/rootfs.h"
#include "boot/systemd.h"
#include "run/serve.h"
#include "wire/bootrecord.h"
#include "wire/event.h"

/* The kernel opens no console for init if the initrd has no device nodes. */
static void open_console(void)
{
	int fd = open("/dev/console", O_RDWR | O_NOCTTY);
	if (fd < 0)
		fd = open("/dev/null", O_RDWR);
	for (int standard = 0; fd >= 0 && standard < 3; standard++) {
		if (fd != standard)
			dup2(fd, standard);
	}
	if (fd > 2)
		close(fd);
}

static void become_direct(void)
{
	execl(AGENT_PATH, "banger-vsock-agent", "serve", (char *)NULL);
	die("Cannot start the agent");
}

static void become_systemd(void)
{
	systemd_prepare();
	if (serve_in_background() < 0)
		say("Cannot start the agent");
	execl(FIRST_BOOT_PATH, FIRST_BOOT_PATH, (char *)NULL);
	events_notify("failed", "Cannot run the first boot: the image has no /bin/sh; use direct mode for it");
	say("Cannot run %s: does the image have /bin/sh?", FIRST_BOOT_PATH);
	init_idle();
}

/* Files that outlive the initrd go to /run, which is moved to the new root. */
static void keep_files(bool with_first_boot)
{
	if (!copy_file("/proc/self/exe", AGENT_PATH, 0755) || !boot_record_keep(KEPT_RECORD_PATH, false))
		die("Cannot copy the agent to /run");
	if (!with_first_boot)
		return;
	if (!copy_file(INITRD_FIRST_BOOT_PATH, STATE_DIRECTORY "/first-boot", 0755))
		die("Cannot copy the first-boot script");
}

static void install_first_boot(void)
{
	make_dirs("/usr/local/libexec", 0755);
	if (!copy_file(STATE_DIRECTORY "/first-boot", FIRST_BOOT_PATH, 0755))
		die("Cannot write %s", FIRST_BOOT_PATH);
	unlink(STATE_DIRECTORY "/first-boot");
}

_Noreturn void init_run(void)
{
	char mode[16] = "direct";
	umask(022);
	rootfs_mount_kernel();
	open_console();
	if (!boot_record_load(BOOT_RECORD_PATH))
		die("Cannot read the boot record of the initrd");
	boot_record_text(TAG_BOOT_MODE, mode, sizeof mode);
	bool is_systemd = strcmp(mode, "systemd") == 0;
	boot_record_each(TAG_BOOT_MODULE, module_load);
	identity_set_kernel();
	rootfs_mount(is_systemd);
	keep_files(is_systemd);
	rootfs_switch(is_systemd);
	modules_mount();
	identity_write_files();
	events_record("mounted", "");
	network_configure();
	events_record("network", "");
	if (is_systemd) {
		if (boot_record_has(TAG_BOOT_TEMPLATE) && !replace_file(TEMPLATE_PATH, "", 0, 0600))
			die("Cannot write \"%s\"", TEMPLATE_PATH);
		install_first_boot();
		become_systemd();
	}
	become_direct();
	_exit(1);
}

_Noreturn void init_idle(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (;;) {
		while (waitpid(-1, NULL, WNOHANG) > 0) {
		}
		sigwaitinfo(&set, NULL);
	}
}
