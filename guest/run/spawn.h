/* From a plan to a process that runs a program, or to the reason why not. */
#ifndef BANGER_SPAWN_H
#define BANGER_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/account.h"
#include "wire/protocol.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define HIGHEST_SIGNAL 64

struct launch {
	struct account account;
	/* Below the root where it is relative. */
	const char *cwd;
	/* The folders that are missing on the way there are root's. */
	bool makes_cwd;
	/* Become its descriptors 0, 1 and 2; of a terminal three times the same. */
	int fds[CHANNELS];
	bool is_terminal;
	/* It insists on being PID 1, and is that of a namespace of its own. */
	bool is_init;
	/* Both end with NULL. */
	char **arguments;
	char **environment;
};

/* How far the child came. */
enum stage { STAGE_SESSION, STAGE_USER, STAGE_CWD, STAGE_EXEC };

struct failure {
	enum stage stage;
	int error;
};

/* Open files as systemd has them, and as many processes as the machine has room for. */
void limits_set(void);

/* False, with errno, where that is not allowed. */
bool become(const struct account *account);

/*
 * Runs `arguments` with `environment`, or gives back with errno. Tries the folders of PATH as the shell
 * does: a file that may not be run counts only if no other is found.
 */
void execute(const struct launch *launch);

/* Gives the process, which leads a session of its own, once its program runs; -1 and why otherwise. */
pid_t spawn(const struct launch *launch, struct failure *failure);

#endif
