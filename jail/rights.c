#include "jail.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(capability) (1ull << (capability))
/* What root needs to act on files of other users as it does outside. */
#define FILES (BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) | BIT(CAP_FSETID))

static void set_capabilities(unsigned long long kept)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	for (int i = 0; i < 2; i++) {
		unsigned int half = (unsigned int)(kept >> (32 * i));
		data[i] = (struct __user_cap_data_struct){ .effective = half, .permitted = half };
	}
	if (syscall(SYS_capset, &header, data) != 0)
		die("cannot give up capabilities", NULL);
}

void drop_rights(const struct plan *plan)
{
	unsigned long long kept = plan->keeps_files ? FILES : 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		die("cannot give up new rights", NULL);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (int each = 0; prctl(PR_CAPBSET_READ, each, 0, 0, 0) >= 0; each++) {
		// Who has no rights at all may not even give them up.
		if (!(kept & BIT(each)) && prctl(PR_CAPBSET_DROP, each, 0, 0, 0) != 0 && errno != EPERM)
			die("cannot give up capabilities", NULL);
	}
	if (plan->uid != 0) {
		if (setgroups(0, NULL) != 0 || setresgid(plan->gid, plan->gid, plan->gid) != 0 ||
		    setresuid(plan->uid, plan->uid, plan->uid) != 0)
			die("cannot become another user", NULL);
	}
	set_capabilities(kept);
}
