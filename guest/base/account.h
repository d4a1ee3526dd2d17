/* Resolves users and groups from the guest's own /etc/passwd and /etc/group. */
#ifndef BANGER_ACCOUNT_H
#define BANGER_ACCOUNT_H

#include <stdbool.h>
#include <sys/types.h>

#define MAX_GROUPS 64

struct account {
	uid_t uid;
	gid_t gid;
	char name[64];
	char home[256];
	gid_t groups[MAX_GROUPS];
	int group_count;
};

/*
 * Resolves "name", "1000", "name:group" or "1000:1000"; an empty text is root. Numbers need no entry.
 * False if a name is unknown.
 */
bool account_find(const char *user, struct account *account);

#endif
