/* Starts a process from a plan of user, directory, descriptors, argv and environment. */
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
	/* Relative paths start at the root. */
	const char *cwd;
	/* Create cwd's missing directories, owned by root. */
	bool makes_cwd;
	/* Become descriptors 0, 1 and 2; all three are the same terminal if is_terminal. */
	int fds[CHANNELS];
	bool is_terminal;
	/* The program must be PID 1: it gets a PID namespace of its own. */
	bool is_init;
	/* Both are NULL-terminated. */
	char **arguments;
	char **environment;
};

/* The step that failed in the child. */
enum stage { STAGE_SESSION, STAGE_USER, STAGE_CWD, STAGE_EXEC };

struct failure {
	enum stage stage;
	int error;
};

/* Sets the open file limits that systemd sets, and no limit on processes. */
void limits_set(void);

/* Switches to the user; false with errno if not permitted. */
bool become(const struct account *account);

/*
 * Executes `arguments` with `environment`; returns with errno on failure. Searches PATH like the shell: a file
 * that may not be executed is reported only if no other is found.
 */
void execute(const struct launch *launch);

/* Starts a process in a session of its own; returns its pid once its program runs, -1 and the reason otherwise. */
pid_t spawn(const struct launch *launch, struct failure *failure);

#endif
