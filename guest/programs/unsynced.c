#include "programs/unsynced.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"

#if defined __x86_64__
#define OWN_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define OWN_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
/* Succeeds at once, without the system call. */
#define SKIP(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO)

/*
 * A package manager syncs several files per package, and each time the emulated machine waits for the host. What it
 * has written is synced once, at the end; after a power loss before, the installation is repeated. Other system calls,
 * and those of another architecture, are as ever. Without seccomp the command runs all the same.
 */
static void skip_syncs(void)
{
	static struct sock_filter filter[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCHITECTURE, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		LOAD(nr),
		SKIP(fsync),
		SKIP(fdatasync),
		SKIP(sync),
		SKIP(syncfs),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof filter / sizeof *filter, .filter = filter };
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int unsynced_run(char **arguments)
{
	skip_syncs();
	execvp(arguments[0], arguments);
	die("Cannot run %s", arguments[0]);
}
