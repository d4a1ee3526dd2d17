#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define ITEMS_MAX 128

/* SYSTEM: read-only, and a symbolic link stays one. */
enum kind { SYSTEM, READ_ONLY, WRITABLE, DEVICE };

struct item {
	enum kind kind;
	const char *path;
	/* A copy of its mount that is nowhere yet; -1 for a symbolic link. */
	int tree;
};

struct plan {
	/* Where the new root is put together: an existing folder. */
	const char *base;
	/* What the program may see, and nothing else. */
	struct item items[ITEMS_MAX];
	size_t count;
	/* A folder of the new root that it may write to; NULL: none. */
	const char *scratch;
	/* 0: stays who it is. */
	uid_t uid;
	gid_t gid;
	/* Root that may act on files of all users: for directories that are shared with a machine. */
	bool keeps_files;
	/* No network, no abstract sockets. */
	bool no_network;
	bool proc;
	/* Ends with its parent. */
	bool tied;
	/* Only forbids what is not in the plan, where namespaces cannot be had. */
	bool landlock;
};

void die(const char *what, const char *path) __attribute__((noreturn));

/* Into a mount namespace of its own, and others as the plan says; a user namespace where that is what it takes. */
void enter_namespaces(const struct plan *plan);
/* Its root is then what the plan says. */
void build_root(struct plan *plan);
void restrict_paths(const struct plan *plan);
/* Of the kernel; 0: none. */
int landlock_version(void);
/* No way back: another user, or the same one, without capabilities. */
void drop_rights(const struct plan *plan);
